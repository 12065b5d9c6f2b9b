"""The ledger of symmetry: what each one gained in F, against the most it could."""

from failures import sentences

from qdflow import plotting, tables
from qdflow.comparison import COMPARISONS
from qdflow.stats import Estimate

FIGURE = {"flows": (0, 0), "inputs": {"comparisons": "run/comparisons"}}

sentences(snakemake)
job = snakemake.params.job
table = tables.read(snakemake.input.comparisons, "compare", COMPARISONS)
ledger = table[table["symmetry"] != "none"]
valid = ledger[ledger["gain"].notna()]
labels = [f"{row.cell} at β = {row.beta:g}\n{row.symmetry}" for row in valid.itertuples()]
gains = [Estimate(r.gain, r.gain_stderr, r.gain_ess) for r in valid.itertuples()]

with plotting.style():
    figure, (axis,) = plotting.figure(2, job["title"], axes=1)
    plotting.show_gains(axis, labels, gains, valid["ceiling"].tolist())
    if len(valid) < len(ledger):
        failed = ", ".join(ledger.loc[ledger["gain"].isna(), "comparison"])
        axis.set_title(f"left out, as a flow failed: {failed}", fontsize=12)
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
