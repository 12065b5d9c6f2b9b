"""Put the numbers of finished runs into pages, between their marks.

Usage: docs.py RESULTS_FOLDER [RESULTS_FOLDER ...] PAGE [PAGE ...]

    <!-- results: CELL CELL@BETA -->              the overview of these cells and their references
    <!-- results: CELL CELL@BETA; F closest -->   these quantities of them
    <!-- comparisons: NAME NAME -->               these comparisons
    <!-- end of results -->                       ends each of them
    <!-- value: CELL@BETA F -->...<!-- end -->    one quantity, of all seeds; or `exact`, `verdict`
"""

import re
import sys
from pathlib import Path

import pandas as pd

from qdflow import comparison, summary, tables

MARKED = re.compile(
    r"(<!-- (results|comparisons): ([^;>]+?)(?:; ([^>]+?))? -->\n).*?(<!-- end of results -->)",
    re.S,
)
VALUE = re.compile(r"(<!-- value: (\S+) (\S+) -->).*?(<!-- end -->)")


def _markdown(table: pd.DataFrame) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _filled(mark: re.Match[str]) -> str:
    opening, what, names, quantities, closing = mark.groups()
    if what == "comparisons":
        table = comparison.overview(comparison.select(compared, names.split()))
    elif quantities:
        table = summary.measured(summary.select(results, names.split()), quantities.split())
    else:
        table = summary.overview(summary.select(results, names.split()))
    return f"{opening}{_markdown(table)}\n{closing}"


def _value(mark: re.Match[str]) -> str:
    opening, name, quantity, closing = mark.groups()
    exact = quantity == "exact"
    table = summary.measured(summary.select(results, [name]), ["F" if exact else quantity])
    found = table[(table["cell"] == "reference") == exact]["F" if exact else quantity]
    values = [text.split(":")[0] for text in found]
    return f"{opening}{', '.join(values if len({*values}) > 1 else values[:1])}{closing}"


paths = list(map(Path, sys.argv[1:]))
folders, pages = [p for p in paths if p.suffix != ".md"], [p for p in paths if p.suffix == ".md"]
results = pd.concat(
    tables.read(folder / "summary.parquet", "summarize", summary.COLUMNS) for folder in folders
)
compared = pd.DataFrame(columns=list(comparison.COMPARISONS))  # a run may compare nothing
for path in (folder / "comparisons.parquet" for folder in folders):
    if path.exists():
        found = tables.read(path, "compare", comparison.COMPARISONS)
        compared = pd.concat([compared, found], ignore_index=True) if len(compared) else found
texts = {page: page.read_text(encoding="utf-8") for page in pages}
try:
    changed = {page: VALUE.sub(_value, MARKED.sub(_filled, text)) for page, text in texts.items()}
except ValueError as error:
    names = " or ".join(map(str, pages)), " or ".join(map(str, folders))
    sys.exit(f"a mark in {names[0]} asks for what {names[1]} does not hold: {error}")
for page, text in changed.items():
    page.write_text(text, encoding="utf-8")
