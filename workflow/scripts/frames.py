"""Draw from a flow as it was along its training."""

from pathlib import Path

from failures import sentences

from qdflow import checkpoint, tables
from qdflow.frames import frames

sentences(snakemake)
job = snakemake.params.job
snapshots = checkpoint.load(Path(snakemake.input.snapshots))
columns = job["columns"]
table = frames(snapshots, columns["beta"], columns["symmetry"], job["samples"], job["seed"])
tables.write(table, snakemake.output[0], tables.FRAMES, config=job, seed=job["seed"])
