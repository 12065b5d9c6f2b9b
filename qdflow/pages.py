"""The long table as a page that can be searched, with nothing to install."""

import html
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qdflow.files import atomic
from qdflow.stats import Estimate
from qdflow.summary import is_unfounded

SHOWN = ("system", "beta", "cell", "seed", "architecture", "symmetry", "objective")
SHOWN += ("quantity", "method", "value", "unit", "ess", "r_hat", "verdict")

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff }
input { font: inherit; padding: .4em .6em; width: 26em; max-width: 90% }
table { border-collapse: collapse; margin-top: 1em }
th, td { padding: .25em .6em; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top }
th { position: sticky; top: 0; background: #eee; cursor: pointer; white-space: nowrap }
th[aria-sort=ascending]::after { content: " \\2191" }
th[aria-sort=descending]::after { content: " \\2193" }
td:last-child { min-width: 34em }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
"""
_SCRIPT = """
const box = document.querySelector("input"), body = document.querySelector("tbody");
const rows = [...body.rows], said = document.querySelector("output");
const texts = rows.map(row => row.textContent.toLowerCase());
function search() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, k) => {
    row.hidden = !words.every(word => texts[k].includes(word));
    shown += !row.hidden;
  });
  said.textContent = `${shown} of ${rows.length} rows`;
}
function key(row, k) {
  const cell = row.cells[k];
  return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent;
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number")
    return Number.isNaN(a) - Number.isNaN(b) || a - b || 0;
  return String(a).localeCompare(String(b));
}
document.querySelectorAll("th").forEach((head, k) => head.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
  body.append(...[...rows].sort((a, b) => down * compare(key(a, k), key(b, k))));
}));
box.addEventListener("input", search);
search();
"""


def write(summary: pd.DataFrame, title: str, path: Path | str) -> None:
    """Write all estimates as one HTML page, with a box to search and columns to sort by.

    Args:
        summary: rows of the long table.
        title: of the page.
        path: of the file.
    """
    heads = "".join(f"<th>{name}</th>" for name in SHOWN)
    rows = "\n".join(_row(row) for row in summary.to_dict("records"))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<label>Rows that hold <input type="search" placeholder="all of these words"></label>
<output></output>
<table><thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody></table>
<script>{_SCRIPT}</script>
</body></html>
"""
    with atomic(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _row(row: Mapping[Hashable, Any]) -> str:
    value = Estimate(row["mean"], row["stderr"], row["ess"])
    shown: dict[str, tuple[str, float | None]]
    shown = {name: (html.escape(str(row[name])), None) for name in SHOWN if name != "value"}
    shown |= {name: (f"{row[name]:{form}}", row[name]) for name, form in _NUMBERS.items()}
    shown["cell"] = (html.escape(row["cell"] or "reference"), None)
    shown["value"] = (_value(row, value), value.mean)
    shown["r_hat"] = (f"{row['r_hat']:.3f}" if np.isfinite(row["r_hat"]) else "", row["r_hat"])
    return f"<tr>{''.join(_cell(*shown[name]) for name in SHOWN)}</tr>"


def _value(row: Mapping[Hashable, Any], value: Estimate) -> str:
    if is_unfounded(row):
        return "no bound"
    return str(value) if np.isfinite(value.mean) else "refused"


_NUMBERS = {"beta": "g", "seed": "d", "ess": ".0f"}


def _cell(text: str, key: float | None) -> str:
    return f"<td>{text}</td>" if key is None else f'<td class="number" data-key="{key}">{text}</td>'
