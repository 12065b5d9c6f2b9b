"""The talk's "Final result": the flow's density beside Monte Carlo's, and its training."""

import math

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, plotting, tables
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
job, out = snakemake.params.job, snakemake.output
inputs = dict(snakemake.input.items())
(path,) = inputs.pop("flow_history")
curve = {"step": "1", "F": "energy", "F_stderr": "energy", "F_below": "energy"}
history = tables.read(path, "train", curve)
shown = read_shown(**inputs, labels=["flow"])
(flow,) = shown.flows
exact = shown.mc.pick("F")
floor = exact.mean + math.lgamma(shown.n + 1) / shown.beta


def draw() -> Figure:
    """The three panels."""
    panels = [flow, shown.mc]
    figure, axes = plotting.figure(3, job["title"])
    densities.show_densities(axes[:2], [p.x for p in panels], [p.title for p in panels])
    plotting.show_training(
        axes[2],
        history["step"].to_numpy(),
        history["F"].to_numpy(),
        history["F_stderr"].to_numpy(),
        flow.pick("F") if flow.is_bound else None,
        exact,
        floor,
        history["F_below"].to_numpy(),
    )
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
captions.write(
    f"""
    The density of a flow beside that of Monte Carlo, and F along its training: {shown.place}, in
    {len(history)} steps. Look at how close the two maps are, and at where the curve ends: a flow
    that covers one relabelling of the electrons cannot get below the dashed line, at {floor:.3f}.

    {shown.gaps} Its verdict: {flow.standing}.
    """,
    out.caption,
)
