"""F, <E>, S and the specific heat against beta: curves of flows, points of Monte Carlo."""

import pandas as pd
from failures import sentences

from qdflow import plotting, tables
from qdflow.curves import curve, heat_from_slope, standing
from qdflow.summary import COLUMNS, judged

FIGURE = {
    "flows": (1, 4),
    "betas": "all",
    "inputs": {"flow_estimates": "flow/estimates", "mc_estimates": "references/estimates"},
}
SHOWN = {"F": "F  [trap energy]", "E": "⟨E⟩  [trap energy]", "S": "S  [k]", "C": "C  [k]"}

sentences(snakemake)
job = snakemake.params.job
exact = pd.concat([tables.read(p, "reference", COLUMNS) for p in snakemake.input.mc_estimates])
parts = [tables.read(path, "estimate", COLUMNS) for path in snakemake.input.flow_estimates]
table = judged(pd.concat([exact, *parts], ignore_index=True))
flows = [rows for name, rows in table.groupby(["cell", "seed"], sort=False) if name[0]]
labels = [f"{name}: {standing(rows)}" for name, rows in zip(job["labels"], flows, strict=True)]

with plotting.style():
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
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
