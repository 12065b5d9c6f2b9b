"""Hold one flow against the samples of the reference: F from both sides, and <E> corrected."""

from pathlib import Path

import numpy as np
import torch
from failures import sentences

from qdflow import checkpoint, device, tables
from qdflow.family import rebuild
from qdflow.progress import progress
from qdflow.sandwich import Samples, sandwich
from qdflow.summary import COLUMNS, found_rows, pick
from qdflow.system import System

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
columns = dict(job["columns"])
model = checkpoint.load(Path(snakemake.input.model))
where = device.pick(snakemake.resources.get("device", "auto"))
flow = rebuild(model, columns["beta"], columns["symmetry"]).to(where)
columns["symmetry"] = flow.symmetry
own = tables.read(snakemake.input.samples, "estimate", tables.FLOW_SAMPLES)
reference = tables.read(snakemake.input.reference, "reference", tables.REFERENCE_SAMPLES)
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
    result = sandwich(
        flow, System(**model["system"]), columns["beta"], samples, exact, generator, luck, report
    )

table = found_rows(result.found, **columns)
lower = table["method"] == "lower"
table.loc[lower, "verdict"] = result.note
note = {"config": job, "seed": job["seed"], "device": device.name(where)}
tables.write(table, snakemake.output[0], COLUMNS, **note)
