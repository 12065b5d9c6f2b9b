"""How far two electrons are from each other: flows against Monte Carlo."""

import numpy as np
from failures import sentences

from qdflow import plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 6)}

sentences(snakemake)
job = snakemake.params.job
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
panels = [shown.mc, *shown.flows]
labels = [f"{p.label}: closest {p.pick('closest')}" for p in panels]
top = 2 * float(np.quantile(np.abs(shown.mc.x), 0.999))

with plotting.style():
    figure, axes = plotting.figure(2, job["title"])
    for axis, end in zip(axes, (top, top / 4), strict=True):
        plotting.show_pairs(axis, [plotting.pair_distances(p.x, end) for p in panels], labels)
    axes[1].set_title("the same, close up")
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2)
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
