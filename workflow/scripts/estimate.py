"""Estimate F, <E> and S of one flow on fresh samples, in float64."""

from pathlib import Path

import torch

from qdflow import checkpoint, flows, tables
from qdflow.estimate import estimate
from qdflow.progress import progress
from qdflow.summary import COLUMNS, rows
from qdflow.system import System

job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
model = checkpoint.load(Path(snakemake.input.model))
system = System(**model["system"])
generator = torch.Generator().manual_seed(job["seed"])
flow = flows.build(system=system, generator=generator, **model["architecture"]).double()
flow.load_state_dict(model["parameters"])

wc = snakemake.wildcards
label = f"estimate {wc.cell} beta={wc.beta} seed={wc.seed}"
budget = job["estimate"]
with progress(label, Path(snakemake.log[0])) as report:
    result = estimate(
        flow, system, model["beta"], budget["samples"], generator, budget["chunk"], report
    )

columns = dict(job["columns"])
if columns["symmetry"] == "none":  # nothing was done to the density: what it has by itself
    columns["symmetry"] = flow.symmetry
estimates = rows(
    result.estimates,
    dict.fromkeys(result.estimates, "variational"),
    verdict=result.verdict,
    **columns,
)
keep = slice(budget["keep"])
samples = tables.configurations(
    result.x[keep],
    energy=result.energy[keep],
    log_q=result.log_q[keep],
    sign=result.sign[keep],
)
note = {"config": job, "seed": job["seed"]}
tables.write(samples, snakemake.output.samples, tables.FLOW_SAMPLES, **note)
tables.write(estimates, snakemake.output.estimates, COLUMNS, **note)
