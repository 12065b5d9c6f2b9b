"""What `from qdflow import NAME` gives, and the module where it is.

The table is here and not in `qdflow/__init__.py`, on which every job depends: a name more computes
nothing again. Functions that share the name of their module are imported from there:
`from qdflow.train import train`.
"""

WHERE = {
    "Averaged": "qdflow.symmetry",
    "Budget": "qdflow.reference",
    "Cell": "qdflow.cell",
    "Estimate": "qdflow.stats",
    "Family": "qdflow.family",
    "Flow": "qdflow.flows.base",
    "Phase": "qdflow.train",
    "System": "qdflow.system",
}
