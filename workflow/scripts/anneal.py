"""Anneal between one flow and the reference, both ways, until the bounds of F are close."""

from pathlib import Path

import torch
from failures import sentences

from qdflow import checkpoint, device, tables
from qdflow.family import rebuild
from qdflow.narrowing import Budget, narrow
from qdflow.progress import progress
from qdflow.stats import Found
from qdflow.summary import COLUMNS, found_rows
from qdflow.system import System

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
columns = dict(job["columns"])
model = checkpoint.load(Path(snakemake.input.model))
where = device.pick(snakemake.resources.get("device", "auto"))
flow = rebuild(model, columns["beta"], columns["symmetry"]).to(where)
columns["symmetry"] = flow.symmetry
reference = tables.read(snakemake.input.reference, "reference", tables.REFERENCE_SAMPLES)
budget = Budget(**job["anneal"])
generator = torch.Generator().manual_seed(job["seed"])

wc = snakemake.wildcards
with progress(f"anneal {wc.cell} beta={wc.beta} seed={wc.seed}", Path(snakemake.log[0])) as report:
    result = narrow(
        flow,
        System(**model["system"]),
        columns["beta"],
        tables.chains(reference, len(reference)),
        budget,
        generator,
        report,
    )

found = {("F", method): one for method, one in result.found.items()}
found |= {
    ("annealing_steps", "annealed"): Found(result.steps),
    ("annealing_accepted", "annealed"): Found(result.accepted),
    ("ess", "annealed"): Found(result.ess),
}
note = {"config": job, "seed": job["seed"], "device": device.name(where)}
tables.write(found_rows(found, **columns), snakemake.output[0], COLUMNS, **note)
