"""Estimate F, <E>, S and C of one flow on fresh samples, in float64."""

from pathlib import Path

import torch
from failures import sentences

from qdflow import tables, trained
from qdflow.estimate import estimate
from qdflow.free_energy import WEIGHTS
from qdflow.progress import progress
from qdflow.summary import COLUMNS, rows

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
one = trained.load(Path(snakemake.input.model), job, snakemake.resources.get("device", "auto"))
generator = torch.Generator().manual_seed(job["seed"])

wc = snakemake.wildcards
label = f"estimate {wc.cell} beta={wc.beta} seed={wc.seed}"
budget = job["estimate"]
with progress(label, Path(snakemake.log[0])) as report:
    result = estimate(
        one.flow, one.system, one.beta, budget["samples"], generator, budget["chunk"], report
    )

methods = dict.fromkeys(result.estimates, "variational") | dict.fromkeys(WEIGHTS, "weights")
estimates = rows(
    result.estimates,
    methods | {"seconds_per_sample": "clock"},
    verdict=result.verdict,
    **one.columns,
)
names = tables.FLOW_SAMPLES if result.x_before is None else tables.AVERAGED_SAMPLES
samples = tables.configurations(**{name: getattr(result, name)[: budget["keep"]] for name in names})
tables.write(samples, snakemake.output.samples, names, **one.note)
tables.write(estimates, snakemake.output.estimates, COLUMNS, **one.note)
