"""Hold one flow against the samples of the reference: F from both sides, and <E> corrected."""

from pathlib import Path

import numpy as np
import torch
from failures import sentences

from qdflow import tables, trained
from qdflow.progress import progress
from qdflow.sandwich import Samples, sandwich
from qdflow.summary import COLUMNS, found_rows, pick

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
one = trained.load(Path(snakemake.input.model), job, snakemake.resources.get("device", "auto"))
own = tables.read(snakemake.input.samples, "estimate", tables.FLOW_SAMPLES)
reference = tables.read(snakemake.input.reference, "reference", tables.REFERENCE_SAMPLES)
reference = one.unseen(reference)
most = job["bounds"]["samples"]
samples = Samples(
    tables.positions(own)[:most],
    own["log_q"].to_numpy(copy=True)[:most],  # torch warns of arrays that nobody may write to
    tables.chains(reference, most),
)
exact = pick(tables.read(snakemake.input.exact, "reference", COLUMNS), "F")
generator = torch.Generator().manual_seed(job["seed"])
luck = np.random.default_rng(job["seed"])

wc = snakemake.wildcards
with progress(f"bounds {wc.cell} beta={wc.beta} seed={wc.seed}", Path(snakemake.log[0])) as report:
    result = sandwich(one.flow, one.system, one.beta, samples, exact, generator, luck, report)

table = found_rows(result.found, **one.columns)
lower = table["method"] == "lower"
table.loc[lower, "verdict"] = result.note
tables.write(table, snakemake.output[0], COLUMNS, **one.note)
