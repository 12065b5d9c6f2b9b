"""How far two electrons are from each other: flows against Monte Carlo."""

import numpy as np
from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 6), "electrons": 2}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
panels = [shown.mc, *shown.flows]


def draw() -> Figure:
    """All distances, and the small ones close up."""
    labels = [f"{p.label}: closest {p.pick('closest')}" for p in panels]
    top = 2 * float(np.quantile(np.abs(shown.mc.x), 0.999))
    figure, axes = plotting.figure(2, job["title"])
    for axis, end in zip(axes, (top, top / 4), strict=True):
        densities.show_pairs(axis, [densities.pair_distances(p.x, end) for p in panels], labels)
    axes[1].set_title("the same, close up")
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2)
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
closest = captions.listed(f"{p.pick('closest')} ({p.label})" for p in panels)
captions.write(
    f"""
    How often two electrons are at which distance, with error bars of one standard error:
    {shown.place}. Look at small distances, where electrons repel: a flow that places them
    independently of each other, as a mean field does, has pairs there that nature has not.

    The mean distance of the closest two is {closest}. {shown.gaps}
    """,
    out.caption,
)
