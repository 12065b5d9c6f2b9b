"""Put the numbers into docs/performance.md, between their marks, and the figures beside it.

<!-- benchmarks: COMPARISON -->     the table of this comparison
<!-- benchmarks: FIGURE_figure -->  its figure, `benchmarks` or `scaling`
<!-- end of benchmarks -->         ends each of them
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from benchmarks.draw import points
from benchmarks.harness import FAILURE, LIMITS, RATIO
from benchmarks.scaling import QUANTITIES, SIZES

MARKED = re.compile(r"(<!-- benchmarks: (\w+) -->\n).*?(<!-- end of benchmarks -->)", re.S)
Table = list[list[str]]


def fill(table: pd.DataFrame, path: Path, figures: Path) -> None:
    """Fill the tables of which there are rows."""

    def filled(mark: re.Match[str]) -> str:
        opening, name, closing = mark.groups()
        figure = name.removesuffix("_figure")
        if figure != name and (path.parent / f"{figure}.png").exists():
            return f"{opening}![{figure}]({figure}.png)\n{closing}"
        rows = table[table["comparison"] == name]
        return f"{opening}{markdown(name, rows)}\n{closing}" if len(rows) else mark[0]

    for name in ("benchmarks", "scaling"):
        if (figures / f"{name}.png").exists():
            picture = Image.open(figures / f"{name}.png").convert("RGB").quantize(256)
            picture.save(path.parent / f"{name}.png", optimize=True)
    path.write_text(MARKED.sub(filled, path.read_text(encoding="utf-8")), encoding="utf-8")


def markdown(name: str, rows: pd.DataFrame) -> str:
    """A comparison as a table, with where and when it was measured below it."""
    make = TABLES.get(name, _turns)
    head, *body = make(rows)
    lines = [head, ["---"] * len(head), *body]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    where = rows.iloc[-1]
    failures = [f"\n{f.contender} failed: {f.note}." for f in _of(rows, FAILURE).itertuples()]
    return f"{text}\n\n{where['machine']}, {where['date']}.{''.join(failures)}"


def number(value: float) -> str:
    """Three digits."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else "never"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _of(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return rows[rows["quantity"] == quantity]


def _first(rows: pd.DataFrame, quantity: str, factor: float = 1) -> str:
    found = _of(rows, quantity)
    return number(factor * found["value"].iloc[0]) if len(found) else ""


def _spread(rows: pd.DataFrame, factor: float = 1) -> str:
    """value (low to high) of the first row."""
    if rows.empty:
        return ""
    value, low, high = (number(factor * rows[name].iloc[0]) for name in ("value", "low", "high"))
    return value if low == high else f"{value} ({low} to {high})"


def _each(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    groups = rows.groupby(["setting", "contender"], sort=False)
    return [(*key, own) for key, own in groups if key[1] != LIMITS.name]


def _ratios(own: pd.DataFrame, against: str | None = None) -> str:
    """Ratios to each of ours, that named first."""
    found = _of(own, RATIO)
    texts = [
        f"{_spread(found.iloc[[k]])} {name.removeprefix('qdflow').strip()}".strip()
        for k, name in enumerate(found["against"])
        if against in (None, name)
    ]
    return "; ".join(texts)


def _turns(rows: pd.DataFrame) -> Table:
    body = [["setting", "contender", "ms", "qdflow is times as fast", "Gflop/s", "of the limit",
             "set-up, s"]]  # fmt: skip
    for setting, contender, own in _each(rows):
        rate = own[own["quantity"].str.startswith("rate of")]
        body.append(
            [
                setting,
                contender,
                _spread(_of(own, "seconds"), 1e3),
                _ratios(own),
                number(rate["value"].iloc[0] / 1e9) if len(rate) else "",
                _percent(_first(own, "fraction of the limit", 100)),
                _first(own, "set-up"),
            ]
        )
    return body + _limits(rows)


def _limits(rows: pd.DataFrame) -> Table:
    body = []
    for setting, own in rows[rows["contender"] == LIMITS.name].groupby("setting", sort=False):
        for precision in ("float64", "float32"):
            rate = _first(own, f"{precision} flops", 1e-9)
            body.append([str(setting), f"matrix products in {precision}", "", "", rate, "", ""])
    return body


def _monte_carlo(rows: pd.DataFrame) -> Table:
    body = [["setting", "sampler", "effective samples a second", "qdflow is times as fast",
             "draws for each", "⟨E⟩", "sigmas from ours", "of the limit", "set-up, s"]]  # fmt: skip
    for setting, contender, own in _each(rows):
        E = _of(own, "E")
        mean = ""
        if len(E):
            mean = f"{E['value'].iloc[0]:.4f} ± {E['high'].iloc[0] - E['value'].iloc[0]:.4f}"
        sigmas = _of(own, "sigmas from E of qdflow")
        body.append(
            [
                setting,
                contender,
                _first(own, "effective samples, all turns"),
                _ratios(own),
                _first(own, "draws per effective sample"),
                mean,
                f"{sigmas['value'].iloc[0]:+.1f}" if len(sigmas) else "",
                _percent(_first(own, "fraction of the limit", 100)),
                _first(own, "set-up"),
            ]
        )
    return body


def _reference(rows: pd.DataFrame) -> Table:
    return [["setting", "seconds", "F", "error of F", "set-up, s"]] + [
        [setting, _spread(_of(own, "seconds")), f"{_of(own, 'F')['value'].iloc[0]:.3f}",
         _first(own, "error of F"), _first(own, "set-up")]
        for setting, _, own in _each(rows) if len(_of(own, "F"))
    ]  # fmt: skip


def _time_to_target(rows: pd.DataFrame) -> Table:
    start = "seconds to F < "
    names = [q for q in dict.fromkeys(rows["quantity"]) if q.startswith(start)]
    head = ["training", *(f"s to F < {name.removeprefix(start)}" for name in names)]
    body = [[*head, "steps", "times as fast as JAX", "set-up, s"]]
    for _, contender, own in _each(rows):
        ratio = rows[(rows["quantity"] == RATIO) & (rows["against"] == contender)]
        cells = [_spread(_of(own, name)) for name in names]
        steps = [_first(own, "steps"), _spread(ratio), _first(own, "set-up")]
        body.append([contender, *cells, *steps])
    return body


def _start_up(rows: pd.DataFrame) -> Table:
    head = ["what", "seconds", "jobs", "submissions in groups", "saved by groups, s"]
    columns = ("jobs", "submissions in groups", "saved by groups")
    return [head] + [
        [f"{setting}: {contender.removeprefix('qdflow ')}", _spread(_of(own, "seconds")),
         *(_first(own, name) for name in columns)]
        for setting, contender, own in _each(rows)
    ]  # fmt: skip


def _scaling(rows: pd.DataFrame) -> Table:
    sizes = [f"n = {n}" for n in SIZES]
    body = [["", "what", *sizes, "exponent"]]
    for _, contender, own in _each(rows):
        for quantity, (unit, _) in QUANTITIES.items():
            factor, shown = (1e3, "ms") if unit == "s" else (2**-10, "kB")
            at = points(own, quantity)
            if not at:
                continue
            b = _of(own, f"exponent of {quantity}")
            error = f"{b['high'].iloc[0] - b['value'].iloc[0]:.2f}" if len(b) else ""
            power = f"{b['value'].iloc[0]:.2f} ± {error}" if len(b) else ""
            cells = [number(factor * at[n]) if n in at else "" for n in SIZES]
            name = f"{quantity.replace('seconds', 'time')}, {shown}"
            body.append([contender.removeprefix("qdflow "), name, *cells, power])
    return body


def _percent(text: str) -> str:
    return f"{text} %" if text else ""


TABLES: dict[str, Callable[[pd.DataFrame], Table]] = {
    "monte_carlo": _monte_carlo,
    "reference": _reference,
    "time_to_target": _time_to_target,
    "start_up": _start_up,
    "scaling": _scaling,
}
