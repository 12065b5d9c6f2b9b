"""Print the results of a finished run: a short table, and where the figures are.

Usage: report.py RESULTS_FOLDER
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qdflow import tables
from qdflow.comparison import COMPARISONS
from qdflow.summary import COLUMNS, agreement, overview

results = Path(sys.argv[1])
summary = tables.read(results / "summary.parquet", "summarize", COLUMNS)
shown, others = overview(summary), agreement(summary)
compared = results / "comparisons.parquet"
console = Console(width=None if sys.stdout.isatty() else 160)
table = Table(*shown.columns, title="Results")
for row in shown.itertuples(index=False):
    table.add_row(*row)
console.print(table)
console.print("157.563(4) means 157.563 +- 0.004, one standard error.", highlight=False)
if len(others):
    worst = others.iloc[0]
    console.print(
        f"F by LFEP, BAR and annealing, where not refused: {len(others)} estimates; the farthest"
        f" from the reference is {worst['cell']} at beta = {worst['beta']:g} by {worst['method']},"
        f" {worst['sigmas']:+.1f} sigma.",
        highlight=False,
        soft_wrap=True,
    )
if compared.exists():
    for row in tables.read(compared, "compare", COMPARISONS).itertuples():
        against = f"{row.cell} against {row.against} at beta = {row.beta:g}"
        console.print(f"{against}: {row.verdict}", highlight=False, soft_wrap=True)
numbers = sorted(
    path for kind in ("reference", "flows") for path in results.glob(f"{kind}/**/*.parquet")
)
for package, made in tables.mixed_versions(sorted(numbers)).items():
    text = ", ".join(f"{version} ({path.parent})" for version, path in made.items())
    console.print(
        f"Not all results were computed with the same {package}: {text}. They stay, and each says"
        " what made it; to compute all of them again, run snakemake with --forceall.",
        highlight=False,
        soft_wrap=True,
    )
for path in sorted((results / "figures").glob("*.png")):
    console.print(f"figure: {path.with_suffix('')}.pdf .png", highlight=False, soft_wrap=True)
