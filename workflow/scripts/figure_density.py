"""The talk's slides of one flow against Monte Carlo: density maps and radial profiles."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 1)}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=["flow"])


def draw() -> Figure:
    """Two maps and their profiles."""
    panels = [*shown.flows, shown.mc]
    figure, axes = plotting.figure(3, job["title"])
    half = densities.show_densities(axes[:2], [p.x for p in panels], [p.title for p in panels])
    profiles = [densities.radial_profile(p.x, half) for p in (shown.mc, *shown.flows)]
    densities.show_profiles(axes[2], profiles, ["Monte Carlo", "flow"])
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
captions.write(
    f"""
    The density of a flow and of Monte Carlo, as maps and against the distance from the centre, with
    error bars of one standard error: {shown.place}. Look for rings that a flow smears out or breaks
    into spots.

    {shown.gaps} Its verdict: {shown.flows[0].standing}.
    """,
    out.caption,
)
