"""Train one flow, going on from where an earlier attempt was stopped."""

import math
from pathlib import Path

import pandas as pd
import torch
from failures import sentences, stopping

from qdflow import checkpoint, device, flows, tables
from qdflow.family import Family, rebuild
from qdflow.flows.base import drawn
from qdflow.progress import progress
from qdflow.snapshots import Snapshots
from qdflow.symmetry import Averaged
from qdflow.system import System
from qdflow.train import HISTORY, Phase, train

sentences(snakemake)
job = snakemake.params.job
training = job["training"]
torch.set_num_threads(training["threads"])  # not snakemake's, which --cores can lower: bits differ
phases = [Phase(**phase) for phase in training["phases"]]
system = System(**job["system"])
generator = torch.Generator().manual_seed(job["seed"])
flow = flows.build(system=system, generator=generator, **job["architecture"])
if "family" in job:
    flow = Family(flow, **job["family"])
precision = getattr(torch, training["precision"])
where = device.pick(snakemake.resources.get("device", "auto"))
flow = flow.to(where, precision)
reference = lessons = None
if path := snakemake.input.get("reference"):
    learned, _ = tables.halves(tables.read(path, "reference", tables.REFERENCE_SAMPLES))
    reference = torch.from_numpy(tables.positions(learned))
if path := snakemake.input.get("teacher"):
    teacher = rebuild(checkpoint.load(Path(path)), job["teacher"]["beta"])
    teacher = teacher.to(where, precision)
    lessons = drawn(teacher, job["teacher"]["samples"], generator)
if path := snakemake.input.get("start"):
    flow.load_state_dict(checkpoint.load(Path(path))["parameters"])
density = Averaged(flow, job["average"]) if job["average"] else flow

saved = Path(job["saved"])
total = sum(phase.steps for phase in phases)
snapshots = Snapshots(flow, saved.with_suffix(""), total)
wc = snakemake.wildcards
label = f"train {wc.cell} {wc.at} seed={wc.seed}"
with progress(label, Path(snakemake.log[0])) as report, stopping() as stop:
    history = train(
        density,
        system,
        job.get("beta", math.nan),
        phases,
        generator,
        training["clip"],
        saved,
        report=snapshots.watching(report),
        reference=reference,
        lessons=lessons,
        stop=stop,
    )

note = {"config": job, "seed": job["seed"], "device": device.name(where)}
kept = ("architecture", "system", "beta", "family")
model = {key: job[key] for key in kept if key in job}
tables.write(pd.DataFrame(history), snakemake.output.history, HISTORY, **note)
checkpoint.save(model | snapshots.gathered(), Path(snakemake.output.snapshots))
checkpoint.save({"parameters": flow.state_dict()} | model, Path(snakemake.output.model))
saved.unlink(missing_ok=True)
snapshots.clear()
