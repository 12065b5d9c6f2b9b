"""F, <E>, S and the specific heat against beta: curves of flows, points of Monte Carlo."""

import numpy as np
import pandas as pd
from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, plotting, tables
from qdflow.curves import curve, heat_from_slope, standing
from qdflow.stats import Estimate
from qdflow.summary import COLUMNS, judged

FIGURE = {
    "flows": (1, 4),
    "betas": "all",
    "inputs": {
        "flow_estimates": "flow/estimates",
        "flow_audits": "flow/audit",
        "mc_estimates": "references/estimates",
    },
}
SHOWN = {"F": "F  [trap energy]", "E": "⟨E⟩  [trap energy]", "S": "S  [k]", "C": "C  [k]"}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
exact = pd.concat([tables.read(p, "reference", COLUMNS) for p in snakemake.input.mc_estimates])
own = [tables.read(path, "estimate", COLUMNS) for path in snakemake.input.flow_estimates]
audits = [tables.read(path, "audit", COLUMNS) for path in snakemake.input.flow_audits]
table = judged(pd.concat([exact, *own, *audits], ignore_index=True))
flows = [rows for name, rows in table.groupby(["cell", "seed"], sort=False) if name[0]]
labels = [f"{name}: {standing(rows)}" for name, rows in zip(job["labels"], flows, strict=True)]


def draw() -> Figure:
    """Four quantities, and below each what flows are above Monte Carlo."""
    figure, upper, lower = plotting.stacked(len(SHOWN), job["title"])
    for (quantity, name), above, below in zip(SHOWN.items(), upper, lower, strict=True):
        monte_carlo, curves = curve(exact, quantity), [curve(rows, quantity) for rows in flows]
        plotting.show_curves(above, curves, monte_carlo, labels)
        plotting.show_gaps(below, [c.minus(monte_carlo) for c in curves])
        above.set_ylabel(name)
    slopes = [heat_from_slope(curve(rows, "E")) for rows in flows]
    plotting.show_slopes(upper[-1], slopes, job["labels"])
    lower[0].set_ylabel("flow - Monte Carlo")
    figure.legend(*upper[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def farthest(rows: pd.DataFrame, label: str) -> str:
    """Where F of a flow is farthest above the reference, in words."""
    gap = curve(rows, "F").minus(curve(exact, "F"))
    if not len(gap.beta):
        return f"{label} has no F beside the reference"
    worst = int(np.argmax(gap.mean))
    value = Estimate(gap.mean[worst], gap.stderr[worst], 0)
    return f"{label} is at most {value} above exact, at β = {gap.beta[worst]:g}"


plotting.publish(draw, [out.pdf, out.png], [out.column])
said = captions.listed(
    farthest(rows, name) for name, rows in zip(job["labels"], flows, strict=True)
)
captions.write(
    f"""
    One flow for all temperatures: F, the mean energy, the entropy and the specific heat against β,
    beside Monte Carlo where it was sampled; below, the differences, with error bars of one standard
    error. The specific heat is there twice: from fluctuations of the energy, and from the slope of
    its mean. The two agree where the flow is exact, and not by construction.

    In F, {said}.
    """,
    out.caption,
)
