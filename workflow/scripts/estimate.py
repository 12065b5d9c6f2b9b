"""Estimate F, <E>, S and C of one flow on fresh samples, in float64."""

from pathlib import Path

import torch
from failures import sentences

from qdflow import checkpoint, device, tables
from qdflow.estimate import estimate
from qdflow.family import rebuild
from qdflow.free_energy import WEIGHTS
from qdflow.progress import progress
from qdflow.summary import COLUMNS, rows
from qdflow.system import System

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
model = checkpoint.load(Path(snakemake.input.model))
system = System(**model["system"])
generator = torch.Generator().manual_seed(job["seed"])
columns = dict(job["columns"])
where = device.pick(snakemake.resources.get("device", "auto"))
flow = rebuild(model, columns["beta"], columns["symmetry"]).to(where)
columns["symmetry"] = flow.symmetry  # with what the flow has by itself

wc = snakemake.wildcards
label = f"estimate {wc.cell} beta={wc.beta} seed={wc.seed}"
budget = job["estimate"]
with progress(label, Path(snakemake.log[0])) as report:
    result = estimate(
        flow, system, columns["beta"], budget["samples"], generator, budget["chunk"], report
    )

methods = dict.fromkeys(result.estimates, "variational") | dict.fromkeys(WEIGHTS, "weights")
estimates = rows(
    result.estimates,
    methods | {"seconds_per_sample": "clock"},
    verdict=result.verdict,
    **columns,
)
names = tables.FLOW_SAMPLES if result.x_before is None else tables.AVERAGED_SAMPLES
samples = tables.configurations(**{name: getattr(result, name)[: budget["keep"]] for name in names})
note = {"config": job, "seed": job["seed"], "device": device.name(where)}
tables.write(samples, snakemake.output.samples, names, **note)
tables.write(estimates, snakemake.output.estimates, COLUMNS, **note)
