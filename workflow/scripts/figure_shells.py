"""Shells around the centre: where they are, and how many electrons they hold."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, plotting, shells
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 6)}
MOST = 6  # patterns of occupations that are shown

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
panels = [shown.mc, *shown.flows]
top = densities.extent(shown.mc.x)
profiles = [shells.radial_distribution(p.x, top) for p in panels]
ends = shells.boundaries(profiles[0])
occupied = [shells.occupations(p.x, ends) for p in panels]
patterns = shells.commonest(occupied, MOST)
shares = [shells.shares(rows, patterns) for rows in occupied]


def draw() -> Figure:
    """Distributions on the left, occupations on the right."""
    figure, axes = plotting.figure(2, job["title"])
    shells.show_distributions(axes[0], profiles, [p.label for p in panels], ends)
    shells.show_shares(axes[1], patterns, shares)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
first = captions.listed(f"{row[0]} ({p.label})" for p, row in zip(panels, shares, strict=True))
parted = captions.listed(f"{end:.2f}" for end in ends) if len(ends) else ""
captions.write(
    f"""
    How many electrons are at which distance from the centre, and how many the shells hold, with
    error bars of one standard error: {shown.place}. Dashed lines part the shells, at the deep
    minima of Monte Carlo. Look for flows whose shells are as sharp, and which fill them as often as
    Monte Carlo does.

    {f"Shells end at {parted}." if parted else "No minimum is deep enough to part shells."} The
    share of configurations with {shells.spelled(patterns[0])} electrons in them is {first}.
    {shown.gaps}
    """,
    out.caption,
)
