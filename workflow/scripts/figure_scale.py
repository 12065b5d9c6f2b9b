"""What a sample costs, and how far flows are above exact, against the number of electrons."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, plotting, tables
from qdflow.stats import Estimate, power_law
from qdflow.summary import COLUMNS, per_electron

FIGURE = {"flows": (0, 0), "inputs": {"summary": "run/summary"}}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
table = per_electron(tables.read(snakemake.input.summary, "summarize", COLUMNS))
series = list(table.groupby(["architecture", "beta"]))
costs = [
    f"{name}: as n to the {power_law(rows['n'], rows['seconds'])}"
    for name, rows in table.groupby("architecture")
    if rows["n"].nunique() > 2
]


def draw() -> Figure:
    """Gaps on the left, costs on the right."""
    labels = [f"{name}, β = {beta:g}" for (name, beta), _ in series]
    n = [rows["n"].to_numpy() for _, rows in series]
    figure, axes = plotting.figure(2, job["title"])
    for axis, quantity in zip(axes, ("gap", "seconds"), strict=True):
        values, errors = (
            [rows[column].to_numpy() for _, rows in series]
            for column in (quantity, f"{quantity}_stderr")
        )
        plotting.show_scaling(axis, n, values, errors, labels)
    axes[0].set_ylabel("(F - exact F) / n  [trap energy]")
    axes[1].set_ylabel("processor time of a sample  [s]")
    axes[1].set_title("\n".join(costs))
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
largest = table[table["n"] == table["n"].max()]
ends = captions.listed(
    f"{row.architecture} at β = {row.beta:g} is {Estimate(row.gap, row.gap_stderr, 0)} above exact"
    for row in largest.itertuples()
)
captions.write(
    f"""
    How far F is above exact, an electron, and what a sample costs, against the number of electrons
    n. Both axes are logarithmic: a power of n is a straight line. Look for flows that stay as close
    with more electrons, and for how steeply their cost rises.

    With {largest["n"].iloc[0]} electrons, an electron: {ends}. {"; ".join(costs)}
    """
    if len(table)
    else "Nothing is shown, as no flow has both a reference and a time.",
    out.caption,
)
