"""Density maps of Monte Carlo and of flows, side by side with their F."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 6)}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])


def draw() -> Figure:
    """A map for each."""
    panels = [shown.mc, *shown.flows]
    figure, axes = plotting.figure(len(panels), job["title"])
    densities.show_densities(axes, [p.x for p in panels], [p.title for p in panels])
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
captions.write(
    f"""
    Densities of Monte Carlo and of flows on one scale: {shown.place}. Look for rings as sharp and
    as round as those of Monte Carlo; a density may look right and its F be far off, as the map does
    not show how electrons avoid each other.

    {shown.gaps}
    """,
    out.caption,
)
