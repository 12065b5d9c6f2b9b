"""Tables for a terminal: a run at work, all numbers of a density, two sides in sigma."""

import math
from collections import Counter
from collections.abc import Iterator

import pandas as pd
from rich.table import Table

from qdflow import watching
from qdflow.stats import Estimate
from qdflow.summary import is_unfounded

URGENCY = ("failed", "silent", "waiting", "queued", "done")  # what is at work comes second
COLOURS = {
    "done": "green",
    "failed": "bold red",
    "silent": "yellow",
    "queued": "dim",
    "waiting": "dim",
}


def watched(found: list[watching.Row], most: int | None = None) -> Table:
    """All rows in their order, or as many as fit, the most urgent first."""
    states = Counter(row.state for row in found).most_common()
    title = ", ".join(f"{count} {state}" for state, count in states)
    table = Table("", "β", "seed", "state", "step", "F", "exact F", "gap", "left", title=title)
    lines = [part for row in found for part in _lines(row)]
    if most is not None and len(lines) > most:
        lines = [part for row in sorted(found, key=_urgency) for part in _lines(row)]
        table.caption = f"and {len(lines) - most} lines more; all of them: qdflow watch --once"
    for cells, style in lines[:most]:
        table.add_row(*cells, style=style)
    return table


def numbers(rows: pd.DataFrame) -> Table:
    """All estimates of one density; those refused say why."""
    first = rows.iloc[0]
    who = f"{first['cell']}, seed {first['seed']}" if first["cell"] else "reference"
    title = f"{who}: {first['system']}, β = {first['beta']:g}"
    table = Table("quantity", "method", "estimate", "ESS", title=title)
    for row in rows.to_dict("records"):
        estimate = Estimate(row["mean"], row["stderr"], row["ess"])
        text = str(estimate) if math.isfinite(estimate.mean) else row["verdict"]
        text = "no bound" if is_unfounded(row) else text
        table.add_row(row["quantity"], row["method"], text, f"{estimate.ess:.0f}")
    return table


def pairs(found: pd.DataFrame, keys: list[str], a: str, b: str) -> Table:
    """Of `summary.differences`."""
    table = Table(*keys, a, b, "difference", "sigma")
    for row in found.to_dict("records"):
        place = (_plain(row[key]) for key in keys)
        numbers = (str(row[key]) for key in ("a", "b", "difference"))
        table.add_row(*place, *numbers, f"{row['sigmas']:+.1f}")
    return table


def _urgency(row: watching.Row) -> float:
    return URGENCY.index(row.state) if row.state in URGENCY else 0.5


def _lines(row: watching.Row) -> Iterator[tuple[list[str], str]]:
    """The cells and the style of its lines: one, or two if it failed."""
    step = f"{row.job.done}/{row.job.total}" if row.job and row.job.total else ""
    left = _clock(row.job.left) if row.job and row.job.left is not None else ""
    gap = row.F.minus(row.exact) if row.F and row.exact else None
    numbers = [_number(one) for one in (row.F, row.exact, gap)]
    if row.is_refuted:
        numbers[0], numbers[2] = "no bound", ""
    place = [row.name, row.beta, row.seed, row.state, step]
    yield [*place, *numbers, left], COLOURS.get(row.state, "cyan")
    if row.job and row.state == "failed":
        yield ["", "", "", row.job.news], COLOURS["failed"]


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return str(estimate) if math.isfinite(estimate.stderr) else f"< {estimate.mean:.3f}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
