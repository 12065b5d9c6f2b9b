"""Look for folds in one flow, and for anything else that would make ln q no log-density."""

from pathlib import Path

import torch
from failures import sentences

from qdflow import tables, trained
from qdflow.audit import Budget, audit, verdict
from qdflow.progress import progress
from qdflow.stats import Found
from qdflow.summary import COLUMNS, found_rows

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
one = trained.load(Path(snakemake.input.model), job, snakemake.resources.get("device", "auto"))
generator = torch.Generator().manual_seed(job["seed"])

wc = snakemake.wildcards
with progress(f"audit {wc.cell} beta={wc.beta} seed={wc.seed}", Path(snakemake.log[0])) as report:
    checks = audit(one.flow, one.beta, Budget(**job["audit"]), generator, report)

found = {(check.quantity, "audit"): Found(check.estimate) for check in checks.values()}
table = found_rows(found, verdict(one.flow, checks), **one.columns)
tables.write(table, snakemake.output[0], COLUMNS, **one.note)
