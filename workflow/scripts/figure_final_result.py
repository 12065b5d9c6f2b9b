"""The talk's "Final result": the flow's density beside Monte Carlo's, and its training."""

import math

from qdflow import plotting, tables
from qdflow.comparison import read_comparison

inputs = dict(snakemake.input.items())
history = tables.read(
    inputs.pop("flow_history"), "train", {"step": "1", "F": "energy", "F_stderr": "energy"}
)
shown = read_comparison(**inputs)
F, exact = shown.F

with plotting.style():
    figure, axes = plotting.figure(3, snakemake.params.job["title"])
    plotting.show_densities(axes[:2], shown.samples, shown.F, shown.names)
    plotting.show_training(
        axes[2],
        history["step"].to_numpy(),
        history["F"].to_numpy(),
        history["F_stderr"].to_numpy(),
        F,
        exact,
        exact.mean + math.lgamma(shown.n + 1) / shown.beta,
    )
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
