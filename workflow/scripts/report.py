"""Print the results of a finished run: a short table, and where the figures are.

Usage: report.py RESULTS_FOLDER
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qdflow import tables
from qdflow.stats import Estimate
from qdflow.summary import COLUMNS

results = Path(sys.argv[1])
summary = tables.read(results / "summary.parquet", "summarize", COLUMNS)
console = Console(width=None if sys.stdout.isatty() else 140)
table = Table("system", "beta", "flow", "seed", "F", "<E>", "S", "verdict", title="Results")
for key, group in summary.groupby(["system", "beta", "architecture", "cell", "seed"], sort=False):
    found = {
        row.quantity: str(Estimate(row.mean, row.stderr, row.ess)) for row in group.itertuples()
    }
    system, beta, architecture, _, seed = key
    numbers = [found[quantity] for quantity in ("F", "E", "S")]
    table.add_row(system, f"{beta:g}", architecture, str(seed), *numbers, group["verdict"].iloc[0])
console.print(table)
console.print("157.563(4) means 157.563 +- 0.004, one standard error.")
for path in sorted((results / "figures").glob("*.png")):
    console.print(f"figure: {path.with_suffix('')}.pdf .png", highlight=False, soft_wrap=True)
