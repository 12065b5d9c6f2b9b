"""The talk's "Final result": the flow's density beside Monte Carlo's, and its training."""

import math

from failures import sentences

from qdflow import plotting, tables
from qdflow.panels import read_shown

FIGURE = {
    "flows": (1, 1),
    "inputs": {
        "flow_samples": "flow/samples",
        "flow_estimates": "flow/estimates",
        "flow_audit": "flow/audit",
        "flow_history": "training/history",
        "mc_samples": "reference/samples",
        "mc_estimates": "reference/estimates",
    },
}

sentences(snakemake)
inputs = dict(snakemake.input.items())
(path,) = inputs.pop("flow_history")
curve = {"step": "1", "F": "energy", "F_stderr": "energy", "F_below": "energy"}
history = tables.read(path, "train", curve)
shown = read_shown(**inputs, labels=["flow"])
(flow,) = shown.flows
panels = [flow, shown.mc]
exact = shown.mc.pick("F")

with plotting.style():
    figure, axes = plotting.figure(3, snakemake.params.job["title"])
    plotting.show_densities(axes[:2], [p.x for p in panels], [p.title for p in panels])
    plotting.show_training(
        axes[2],
        history["step"].to_numpy(),
        history["F"].to_numpy(),
        history["F_stderr"].to_numpy(),
        flow.pick("F") if flow.is_bound else None,
        exact,
        exact.mean + math.lgamma(shown.n + 1) / shown.beta,
        history["F_below"].to_numpy(),
    )
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
