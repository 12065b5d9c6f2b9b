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
minima = shells.boundaries(profiles[0])
ends = minima if len(minima) else shells.middle(shown.mc.x)
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
parted = captions.listed(f"{end:.2f}" for end in ends)
where, lines = (
    (f"Shells end at {parted}.", "Dashed lines part the shells, at the deep minima of Monte Carlo.")
    if len(minima)
    else (
        f"No minimum is deep enough to part shells. Half of the electrons are within {parted}.",
        "The dashed line is at the distance with half of the electrons inside, in Monte Carlo.",
    )
)
captions.write(
    f"""
    How many electrons are at which distance from the centre, and how many on each side of the
    dashed lines, with error bars of one standard error: {shown.place}. {lines} Look for flows
    whose rings are as sharp, and which fill them as often as Monte Carlo does.

    {where} The share of configurations with {shells.spelled(patterns[0])} electrons, from inside,
    is {first}. {shown.gaps}
    """,
    out.caption,
)
