"""The pair correlation g(r) of flows against Monte Carlo."""

import numpy as np
from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, correlation, densities, plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 6), "electrons": 2}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
panels = [shown.mc, *shown.flows]
top = 1.5 * densities.extent(shown.mc.x)
profiles = [correlation.pair_correlation(p.x, top) for p in panels]


def draw() -> Figure:
    """All distances, and what flows are off by."""
    figure, axes = plotting.figure(2, job["title"])
    correlation.show_correlations(axes[0], profiles, [p.label for p in panels])
    exact = profiles[0]
    off = [
        densities.Profile(p.r, p.density - exact.density, np.hypot(p.stderr, exact.stderr))
        for p in profiles[1:]
    ]
    correlation.show_differences(axes[1], off, [p.label for p in shown.flows])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def half(profile: densities.Profile) -> str:
    """Where the hole around an electron has filled up to one half, in words."""
    filled = np.flatnonzero(profile.density >= 0.5)
    return f"{profile.r[filled[0]]:.2f}" if len(filled) else "nowhere"


plotting.publish(draw, [out.pdf, out.png], [out.column])
holes = captions.listed(f"{half(g)} ({p.label})" for p, g in zip(panels, profiles, strict=True))
captions.write(
    f"""
    How often two electrons are at a distance, over how often they would be if each were placed with
    the same density but independently of the others: {shown.place}. Error bars are of one standard
    error. Look at the hole at short distances, where electrons repel, and at the oscillations
    behind it, which a liquid has and a gas has not. Independent electrons have
    {1 - 1 / shown.n:.3f} everywhere.

    g reaches one half at a distance of {holes}. {shown.gaps}
    """,
    out.caption,
)
