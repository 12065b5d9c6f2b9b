"""What a sample costs, and how far flows are above exact, against the number of electrons."""

from failures import sentences

from qdflow import plotting, tables
from qdflow.stats import power_law
from qdflow.summary import COLUMNS, per_electron

FIGURE = {"flows": (0, 0), "inputs": {"summary": "run/summary"}}

sentences(snakemake)
job = snakemake.params.job
table = per_electron(tables.read(snakemake.input.summary, "summarize", COLUMNS))
series = list(table.groupby(["architecture", "beta"]))
labels = [f"{name}, β = {beta:g}" for (name, beta), _ in series]
n = [rows["n"].to_numpy() for _, rows in series]
costs = [
    f"{name}: as n to the {power_law(rows['n'], rows['seconds'])}"
    for name, rows in table.groupby("architecture")
    if rows["n"].nunique() > 2
]

with plotting.style():
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
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
