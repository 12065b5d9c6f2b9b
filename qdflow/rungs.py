"""The free energy from both sides: each flow's bounds and estimates beside the exact F."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFTBASE, CARETRIGHTBASE
from matplotlib.patches import Patch

from qdflow import plotting
from qdflow.plotting import scaled
from qdflow.stats import Estimate
from qdflow.summary import is_bound, pick

UPPER, LOWER = "variational", "lower"
POINTS = {"lfep": ("LFEP", "v"), "bar": ("BAR", "s"), "annealed": ("annealed", "D")}
SANDWICH = ("annealed_lower", "annealed_upper")
_COLOURS = dict(zip(POINTS, (plotting.ORANGE, plotting.GREEN, plotting.PURPLE), strict=True))
_HEIGHTS = dict(zip(POINTS, (-0.2, 0.0, 0.22), strict=True))  # side by side, as they fall together
_BAR, _GREY = plotting.SKY, plotting.FLOOR


class Rung(NamedTuple):
    """What one flow says of F.

    Attributes:
        label: its name.
        found: by method; none of a flow that has failed.
        refused: names of the methods that gave no number.
        failed: its ln q is no log-density.
    """

    label: str
    found: Mapping[str, Estimate]
    refused: Sequence[str] = ()
    failed: bool = False

    @property
    def note(self) -> str:
        """What is not drawn, and why, in a few words."""
        if self.failed:
            return "failed: no bound"
        return f"refused: {', '.join(self.refused)}" if self.refused else ""


class Ladder(NamedTuple):
    """One system at one beta.

    Attributes:
        exact: F of the reference.
        floor: exact F + ln(n!) / beta, where a perfect flow ends that covers one relabelling.
        rungs: one a flow.
    """

    exact: Estimate
    floor: float
    rungs: list[Rung]


def ladder(
    summary: pd.DataFrame, cells: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> Ladder:
    """From the long table, whose flows are judged.

    Args:
        summary: the table.
        cells: with the keys cell, beta and seed, all of one system and one beta.
        labels: one a cell; those that share one are told apart by their seeds.

    Raises:
        ValueError: a cell is not in the table, or they are not of one system and beta.
    """
    parts = [_rows(summary, cell) for cell in cells]
    places = {(p["system"].iloc[0], p["beta"].iloc[0], p["n"].iloc[0]) for p in parts}
    if len(places) != 1:
        found = " and ".join(f"{system} at beta {beta:g}" for system, beta, _ in sorted(places))
        raise ValueError(f"one picture shows one system and beta, got {found}; make two figures")
    ((system, beta, n),) = places
    same = (summary["system"] == system) & (summary["beta"] == beta) & (summary["cell"] == "")
    exact = pick(summary.loc[same, :], "F")
    names = [
        f"{label}, seed {cell['seed']}" if labels.count(label) > 1 else label
        for label, cell in zip(labels, cells, strict=True)
    ]
    rungs = [_rung(name, rows) for name, rows in zip(names, parts, strict=True)]
    return Ladder(exact, exact.mean + math.lgamma(n + 1) / beta, rungs)


def show_ladder(ladder: Ladder, title: str, marks: Mapping[str, float]) -> Figure:
    """All of it on the left, the distance from the exact F on the right, a row a flow.

    Args:
        ladder: what is shown.
        title: of the figure.
        marks: F by label, of other numbers that are shown as lines.
    """
    lines = {"floor of one\nrelabelling": ladder.floor} | dict(marks)
    drawn, axes = plotting.figure(2, title)
    height = scaled(3.4 + 0.72 * len(ladder.rungs))
    drawn.set_size_inches(plotting.width(16.5), height)
    for axis, origin in zip(axes, (0.0, ladder.exact.mean), strict=True):
        _show_exact(axis, ladder.exact, origin)
        for y, rung in enumerate(ladder.rungs):
            _show_rung(axis, y, rung, origin)
        for F in lines.values():
            axis.axvline(F - origin, color=_GREY, ls="--", lw=scaled(1.2), zorder=0)
        axis.set(ylim=(len(ladder.rungs) - 0.4, -0.6), yticks=range(len(ladder.rungs)))
    _finish_whole(axes[0], [rung.label for rung in ladder.rungs], lines)
    _finish_distance(axes[1], ladder)
    _legend(drawn, axes[0])
    return drawn


def _rows(summary: pd.DataFrame, cell: Mapping[str, Any]) -> pd.DataFrame:
    same = (summary["quantity"] == "F") & (summary["cell"] == cell["cell"])
    same &= (summary["beta"] == float(cell["beta"])) & (summary["seed"] == int(cell["seed"]))
    if not same.any():
        named = f"{cell['cell']!r} at beta {cell['beta']}, seed {cell['seed']}"
        raise ValueError(f"no F of {named} in the table; run rule estimate for it")
    return summary.loc[same, :]


def _rung(label: str, rows: pd.DataFrame) -> Rung:
    if not is_bound(rows):
        return Rung(label, {}, failed=True)
    known = set(rows["method"])
    wanted = [m for m in (UPPER, LOWER, *POINTS, *SANDWICH) if m in known]
    found = {m: pick(rows, "F", m) for m in wanted}
    given = {m: one for m, one in found.items() if np.isfinite(one.mean)}
    names = [name for m, (name, _) in POINTS.items() if m in found and m not in given]
    names += ["lower bound"] if LOWER in found and LOWER not in given else []
    return Rung(label, given, names)


def _show_exact(axis: Axes, exact: Estimate, origin: float) -> None:
    at = exact.mean - origin
    axis.axvspan(at - exact.stderr, at + exact.stderr, color=plotting.EXACT, alpha=0.25, lw=0)
    axis.axvline(at, color=plotting.EXACT, label="exact F (Monte Carlo)")


def _show_rung(axis: Axes, y: int, rung: Rung, origin: float) -> None:
    found = {m: (one.mean - origin, one.stderr) for m, one in rung.found.items()}
    _show_interval(axis, y, found, (LOWER, UPPER), 0.72, _BAR)
    lane = y + _HEIGHTS["annealed"]
    _show_interval(axis, lane, found, SANDWICH, 0.2, _COLOURS["annealed"])
    for method in (m for m in POINTS if m in found):
        F, error = found[method]
        style: dict[str, Any] = {"fmt": POINTS[method][1], "color": _COLOURS[method]}
        style |= {"ms": scaled(7), "mec": "white", "mew": scaled(0.7)}
        style |= {"capsize": scaled(2), "zorder": 4}
        axis.errorbar([F], [y + _HEIGHTS[method]], xerr=[error], **style)


def _show_interval(
    axis: Axes,
    y: float,
    found: Mapping[str, tuple[float, float]],
    ends: tuple[str, str],
    height: float,
    colour: str,
) -> None:
    """A bar between two bounds, with their errors; one alone points to where F is."""
    given = {m: found[m] for m in ends if m in found}
    if len(given) == 2:
        left, right = (given[m][0] for m in ends)
        axis.barh(y, right - left, left=left, height=height, color=colour, alpha=0.35, lw=0)
    elif given:
        F, method = *(F for F, _ in given.values()), *given
        points = CARETLEFTBASE if method == ends[1] else CARETRIGHTBASE
        axis.plot([F], [y], marker=points, color=colour, ms=scaled(11))
    for F, error in given.values():
        style: dict[str, Any] = {"fmt": "|", "color": colour, "ms": scaled(44 * height)}
        style |= {"mew": scaled(2.2), "capsize": scaled(3), "zorder": 3}
        axis.errorbar([F], [y], xerr=[error], **style)


def _finish_whole(axis: Axes, labels: Sequence[str], lines: Mapping[str, float]) -> None:
    axis.set_yticklabels(labels, fontsize=scaled(13))
    axis.set(xlabel="F  [trap energy]", title="on one scale\n\n")
    for k, (label, F) in enumerate(sorted(lines.items(), key=lambda item: item[1])):
        side = "left" if k else "right"
        where = axis.get_xaxis_transform()
        text = f" {label} " if "\n" not in label else label
        height = 1.01 + 0.03 * max(k - 1, 0)  # lines that are close get labels above each other
        axis.text(
            F,
            height,
            text,
            transform=where,
            ha=side,
            va="bottom",
            fontsize=scaled(11),
            color=_GREY,
        )


def _finish_distance(axis: Axes, ladder: Ladder) -> None:
    """Linear around 0, as far as the errors reach, and logarithmic on either side."""
    linear = 10.0 ** math.ceil(math.log10(max(2 * ladder.exact.stderr, 1e-6)))
    axis.set_xscale("symlog", linthresh=linear)
    widest = 1.6 * np.abs(axis.get_xlim()).max()
    decades = linear * 10.0 ** np.arange(max(1, math.ceil(math.log10(widest / linear))))
    ticks = [*-decades[::-1], 0.0, *decades]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set(xlabel="F - exact F  [trap energy]", xlim=(-widest, widest))
    axis.set_title("distance from exact, magnified around 0\n\n")
    axis.set_yticks([])
    for y, rung in enumerate(ladder.rungs):
        where = axis.get_yaxis_transform()
        axis.text(
            1.02,
            y,
            rung.note,
            transform=where,
            va="center",
            fontsize=scaled(11),
            color=_GREY,
        )


def _legend(drawn: Figure, axis: Axes) -> None:
    """Of what is drawn anywhere, in the order of the eye: exact, bounds, estimates."""
    handles, _ = axis.get_legend_handles_labels()
    bars = {"F is between the flow's bounds": _BAR}
    bars |= {"and between those of annealing": _COLOURS["annealed"]}
    handles += [Patch(color=c, alpha=0.35, lw=0, label=label) for label, c in bars.items()]
    handles += [
        Line2D([], [], marker=marker, ls="", color=_COLOURS[method], ms=scaled(8), label=name)
        for method, (name, marker) in POINTS.items()
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=plotting.wrapped(len(handles)))
