"""F of flows from both sides: bounds and what they bracket, a row a flow, beside the exact F."""

from failures import sentences

from qdflow import plotting, tables
from qdflow.rungs import ladder, show_ladder
from qdflow.summary import COLUMNS

FIGURE = {
    "flows": (1, 40),
    "inputs": {"summary": "run/summary"},
    "options": {
        "marks": {
            "description": "Values of F from elsewhere, for the kind bounds.",
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["label", "F"],
                "properties": {
                    "label": {"description": "Where it is from.", "type": "string"},
                    "F": {"description": "The free energy.", "type": "number"},
                },
            },
        }
    },
}

sentences(snakemake)
job = snakemake.params.job
summary = tables.read(snakemake.input.summary, "summarize", COLUMNS)
shown = ladder(summary, job["cells"], job["labels"])

with plotting.style():
    figure = show_ladder(
        shown, job["title"], {mark["label"]: mark["F"] for mark in job.get("marks", [])}
    )
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
