"""The talk's "Final result": the flow's density beside Monte Carlo's, and its training."""

import math

from qdflow import plotting, tables
from qdflow.summary import COLUMNS, pick

inputs = snakemake.input
flow = tables.read(inputs.flow_estimates, "estimate", COLUMNS)
mc = tables.read(inputs.mc_estimates, "reference", COLUMNS)
history = tables.read(inputs.flow_history, "train")
samples = [
    tables.positions(tables.read(inputs.flow_samples, "estimate", tables.SAMPLES)),
    tables.positions(tables.read(inputs.mc_samples, "reference", tables.SAMPLES)),
]
F, exact = pick(flow, "F"), pick(mc, "F")
n, beta = int(flow["n"].iloc[0]), float(flow["beta"].iloc[0])

figure, axes = plotting.figure(3, snakemake.params.job["title"])
half = plotting.extent(*samples)
plotting.show_densities(
    axes[:2],
    [plotting.density_map(x, half) for x in samples],
    [f"flow: F = {F}", f"Monte Carlo: F = {exact}"],
    half,
)
plotting.show_training(
    axes[2],
    history["step"].to_numpy(),
    history["F"].to_numpy(),
    history["F_stderr"].to_numpy(),
    F,
    exact,
    exact.mean + math.lgamma(n + 1) / beta,
)
for path in (snakemake.output.pdf, snakemake.output.png):
    plotting.save(figure, path)
