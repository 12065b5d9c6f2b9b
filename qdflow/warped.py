"""What a map does to a grid of lines, as a picture and in numbers."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from qdflow.plotting import BLACK, BLUE, GREY, VERMILION, scaled

SMALL = 0.5  # of half the side: lines that reach no further are drawn magnified as well


def show_grid(axis: Axes, table: pd.DataFrame, column: str) -> None:
    """Lines of a grid and electrons, before the map (z) or after it (x)."""
    lines = _of_lines(table, column)
    _draw(axis, lines)
    first, *others = np.stack(table.loc[table["line"] < 0, column].tolist())
    axis.plot(*first, "*", color=BLACK, ms=scaled(15), ls="none", label="the electron")
    if others:
        style = {"mfc": "white", "mec": BLACK, "mew": scaled(1.5), "ls": "none"}
        axis.plot(*np.transpose(others), "o", ms=scaled(8), label="the others", **style)
    everything = np.abs(np.stack(table[column].tolist()))
    half = 1.08 * max(np.quantile(np.abs(lines), 0.985), everything[: 1 + len(others)].max())
    unit = "" if column == "z" else "  [trap length]"
    axis.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")
    axis.set(xlabel=f"first coordinate{unit}", ylabel=f"second coordinate{unit}")
    if np.ptp(lines, axis=(0, 1)).max() < SMALL * half:
        closer = axis.inset_axes((0.62, 0.62, 0.38, 0.38))
        _draw(closer, lines)
        closer.set(xticks=[], yticks=[], aspect="equal", title="magnified")
        closer.title.set_fontsize(scaled(11))
        closer.spines[["top", "right"]].set_visible(True)
        axis.indicate_inset_zoom(closer, edgecolor=GREY)


def _draw(axis: Axes, lines: NDArray[np.float64]) -> None:
    for k, line in enumerate(lines):
        colour = BLUE if 2 * k < len(lines) else VERMILION
        axis.plot(*line.T, color=colour, lw=scaled(0.9), zorder=1)


def stretch(table: pd.DataFrame) -> NDArray[np.float64]:
    """How many times longer than in z each piece of a line is in x, (lines, pieces)."""
    z, x = (
        np.linalg.norm(np.diff(_of_lines(table, column), axis=1), axis=2) for column in ("z", "x")
    )
    return x / z


def _of_lines(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """(lines, points, 2), upright lines first."""
    lines = table.loc[table["line"] >= 0, :]
    number = len(np.unique(lines["line"]))
    return np.stack(lines[column].tolist()).reshape(number, -1, 2)
