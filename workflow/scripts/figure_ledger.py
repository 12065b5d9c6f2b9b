"""The ledger of symmetry: what each one gained in F, against the most it could."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, plotting, tables
from qdflow.comparison import COMPARISONS
from qdflow.stats import Estimate

FIGURE = {"flows": (0, 0), "inputs": {"comparisons": "run/comparisons"}}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
table = tables.read(snakemake.input.comparisons, "compare", COMPARISONS)
ledger = table[table["symmetry"] != "none"]
valid = ledger[ledger["gain"].notna()]
failed = ", ".join(ledger.loc[ledger["gain"].isna(), "comparison"])
gains = [Estimate(r.gain, r.gain_stderr, r.gain_ess) for r in valid.itertuples()]


def draw() -> Figure:
    """A bar for each comparison."""
    labels = [f"{row.cell} at β = {row.beta:g}\n{row.symmetry}" for row in valid.itertuples()]
    figure, (axis,) = plotting.figure(2, job["title"], axes=1)
    plotting.show_gains(axis, labels, gains, valid["ceiling"].tolist())
    if failed:
        axis.set_title(f"left out, as a flow failed: {failed}", fontsize=plotting.scaled(12))
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
said = captions.listed(
    f"{row.cell} at β = {row.beta:g} ({row.symmetry}) {gain} of {row.ceiling:.3f}"
    for row, gain in zip(valid.itertuples(), gains, strict=True)
)
captions.write(
    f"""
    What each symmetry gained in F, in units of its ceiling, kT times the logarithm of the number of
    elements of the group. A symmetry by itself cannot gain more than its ceiling; bars beyond it
    come from another map, and bars below 0 from one that paid for its symmetry.

    Gains, of at most: {said}. {f"Left out, as a flow failed: {failed}." if failed else ""}
    """,
    out.caption,
)
