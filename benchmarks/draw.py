"""The figures: all ratios side by side, and how cost grows with n."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchmarks.harness import RATIO
from benchmarks.scaling import LEAST, QUANTITIES
from qdflow import plotting


def figures(table: pd.DataFrame, folder: Path) -> None:
    """Draw what the table holds as PDF and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    with plotting.style():
        ratios = table[(table["quantity"] == RATIO) & np.isfinite(table["value"])]
        if len(ratios):
            _save(_ratios(ratios), folder, "benchmarks")
        scaling = table[table["comparison"] == "scaling"]
        if len(scaling):
            _save(_scaling(scaling), folder, "scaling")


def _save(drawn: plotting.Figure, folder: Path, name: str) -> None:
    for kind in ("pdf", "png"):
        plotting.save(drawn, folder / f"{name}.{kind}")


def _ratios(ratios: pd.DataFrame) -> plotting.Figure:
    """A point a comparison, with the range over the rounds."""
    groups = list(ratios.groupby(["comparison", "setting"], sort=False))
    drawn, (axes,) = plotting.figure(2, "How many times as fast qdflow is", axes=1)
    drawn.set_size_inches(13, 1.6 + 0.34 * (len(ratios) + len(groups)))
    place, ticks, labels = 0.0, [], []
    for k, ((comparison, setting), rows) in enumerate(groups):
        place += 1
        axes.text(
            0.0, place, f"{comparison.replace('_', ' ')}, {setting}", weight="bold", fontsize=12,
            va="center", transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        for each in rows.itertuples():
            place += 1
            colour = plotting.COLOURS[k % len(plotting.COLOURS)]
            axes.plot([each.low, each.high], [place, place], color=colour, lw=3, alpha=0.5)
            axes.plot([each.value], [place], "o", color=colour)
            axes.annotate(
                f"{each.value:.3g}", (each.high, place), (6, 0), textcoords="offset points",
                va="center", fontsize=11,
            )  # fmt: skip
            ticks.append(place)
            labels.append(f"{each.contender}  /  {each.against}")
    axes.axvline(1, color=plotting.FLOOR, lw=1)
    axes.set_xscale("log")
    axes.set_yticks(ticks, labels, fontsize=11)
    axes.set_ylim(place + 1, 0)
    axes.set_xlabel("contender / qdflow: time, or qdflow / contender: rate")
    return drawn


def _scaling(rows: pd.DataFrame) -> plotting.Figure:
    """A panel a quantity; the fits are lines."""
    wanted = {
        "seconds of a draw": "seconds a draw, or a sweep",
        "seconds of a step": "seconds a sample of training",
        "memory of a step": "bytes a sample of training",
    }
    drawn, panels = plotting.figure(3, "Cost against the number of electrons, on one core")
    for axes, (quantity, label) in zip(panels, wanted.items(), strict=True):
        for k, (contender, own) in enumerate(rows.groupby("contender", sort=False)):
            colour = plotting.COLOURS[k % len(plotting.COLOURS)]
            marker = "os^Dv"[k // len(plotting.COLOURS)]
            name = contender.removeprefix("qdflow ")
            _curve(axes, own, quantity, name, colour, marker)
            if quantity == "seconds of a draw":
                _curve(axes, own, "seconds of a sweep", name, colour, marker)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
        axes.minorticks_off()
        axes.set_xlabel("n")
        axes.set_ylabel(label)
        if axes.has_data():
            axes.legend(fontsize=10)
    return drawn


def _curve(
    axes: Axes, own: pd.DataFrame, quantity: str, name: str, colour: str, marker: str
) -> None:
    assert quantity in QUANTITIES
    at = points(own, quantity)
    if not at:
        return
    n, values = np.array(list(at)), np.array(list(at.values()))
    exponent = own[own["quantity"] == f"exponent of {quantity}"]
    label = name
    if len(exponent):
        b, high = exponent["value"].iloc[0], exponent["high"].iloc[0]
        label = f"{name}: {b:.2f} ± {high - b:.2f}"
        fitted = n >= LEAST
        prefactor = np.exp(np.mean(np.log(values[fitted]) - b * np.log(n[fitted])))
        axes.plot(n[fitted], prefactor * n[fitted] ** b, color=colour, lw=1)
    axes.plot(n, values, marker, color=colour, label=label)


def points(own: pd.DataFrame, quantity: str) -> dict[int, float]:
    """The positive values of a quantity by n."""
    found = {}
    for each in own.itertuples():
        mark = re.fullmatch(rf"{re.escape(quantity)}, n = (\d+)", str(each.quantity))
        if mark and each.value > 0:
            found[int(mark[1])] = float(each.value)
    return found
