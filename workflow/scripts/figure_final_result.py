"""The talk's "Final result": the flow's density beside Monte Carlo's, and its training."""

import math

from qdflow import plotting, tables
from qdflow.summary import COLUMNS, CONVERGED, pick

inputs = snakemake.input
flow = tables.read(inputs.flow_estimates, "estimate", COLUMNS)
mc = tables.read(inputs.mc_estimates, "reference", COLUMNS)
samples = [
    tables.positions(tables.read(inputs.flow_samples, "estimate", tables.SAMPLES)),
    tables.positions(tables.read(inputs.mc_samples, "reference", tables.SAMPLES)),
]
F, exact = pick(flow, "F"), pick(mc, "F")
converged = mc["verdict"].iloc[0] == CONVERGED
names = ["flow", "Monte Carlo" if converged else "Monte Carlo (not converged)"]
history = tables.read(inputs.flow_history, "train")
n, beta = int(flow["n"].iloc[0]), float(flow["beta"].iloc[0])

with plotting.style():
    figure, axes = plotting.figure(3, snakemake.params.job["title"])
    plotting.show_densities(axes[:2], samples, [F, exact], names)
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
