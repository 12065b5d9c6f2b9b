"""Bend the z-plane of one electron with the map of one flow."""

from pathlib import Path

import torch
from failures import sentences

from qdflow import checkpoint, tables
from qdflow.family import rebuild
from qdflow.grids import grid
from qdflow.system import System

sentences(snakemake)
job = snakemake.params.job
model = checkpoint.load(Path(snakemake.input.model))
flow = rebuild(model, job["columns"]["beta"])
generator = torch.Generator().manual_seed(job["seed"])
table = grid(flow, System(**model["system"]), generator)
tables.write(table, snakemake.output[0], tables.GRID, config=job, seed=job["seed"])
