"""Anneal between one flow and the reference, both ways, until the bounds of F are close."""

from pathlib import Path

import torch
from failures import sentences

from qdflow import tables, trained
from qdflow.narrowing import Budget, narrow
from qdflow.progress import progress
from qdflow.stats import Found
from qdflow.summary import COLUMNS, found_rows

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
one = trained.load(Path(snakemake.input.model), job, snakemake.resources.get("device", "auto"))
reference = tables.read(snakemake.input.reference, "reference", tables.REFERENCE_SAMPLES)
reference = one.unseen(reference)
chains = tables.chains(reference, len(reference))
budget = Budget(**job["anneal"])
generator = torch.Generator().manual_seed(job["seed"])

wc = snakemake.wildcards
with progress(f"anneal {wc.cell} beta={wc.beta} seed={wc.seed}", Path(snakemake.log[0])) as report:
    result = narrow(one.flow, one.system, one.beta, chains, budget, generator, report)

found = {("F", method): bound for method, bound in result.found.items()}
found |= {
    ("annealing_steps", "annealed"): Found(result.steps),
    ("annealing_accepted", "annealed"): Found(result.accepted),
    ("ess", "annealed"): Found(result.ess),
}
tables.write(found_rows(found, **one.columns), snakemake.output[0], COLUMNS, **one.note)
