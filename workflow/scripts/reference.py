"""Sample the Boltzmann distribution of one system at one beta."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from failures import sentences

from qdflow import tables
from qdflow.progress import progress
from qdflow.reference import RUNGS, Budget, reference
from qdflow.summary import COLUMNS, rows
from qdflow.system import System

sentences(snakemake)
job = snakemake.params.job
torch.set_num_threads(snakemake.threads)
system, budget = System(**job["system"]), Budget(**job["budget"])
label = f"reference {job['name']} beta={job['beta']:g}"
with progress(label, Path(snakemake.log[0])) as report:
    result = reference(system, job["beta"], budget, job["seed"], snakemake.threads, report)

columns = {
    "system": job["name"],
    **job["system"],
    "beta": job["beta"],
    "cell": "",
    "architecture": "reference",
    "symmetry": "exact",
    "objective": "",
    "seed": job["config_seed"],
    "verdict": result.verdict,
}
methods = dict.fromkeys(result.estimates, "metropolis") | {"F": "ladder", "S": "ladder"}
estimates = rows(result.estimates, methods, result.r_hat, **columns)
ladder = pd.DataFrame(result.rungs)
energy = system.energy(torch.from_numpy(result.x)).numpy()
chain = np.repeat(np.arange(budget.ladders), len(energy) // budget.ladders)
samples = tables.configurations(result.x, energy=energy, chain=chain)
note = {"config": job, "seed": job["seed"]}
tables.write(samples, snakemake.output.samples, tables.REFERENCE_SAMPLES, **note)
tables.write(ladder, snakemake.output.ladder, RUNGS, **note)
tables.write(estimates, snakemake.output.estimates, COLUMNS, **note)
