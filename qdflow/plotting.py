"""One style in two sizes, and the axes that every figure shares."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from qdflow.curves import Curve
from qdflow.files import atomic
from qdflow.stats import Estimate

Array = NDArray[np.float64]

# Okabe & Ito, Color Universal Design (2008): told apart with any kind of colour vision. All
# figures take their colours from here; maps use magma, which rises evenly in lightness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
GREY = "#7a7a7a"
EXACT, FLOW, FLOOR, BELOW = BLUE, VERMILION, GREY, ORANGE
COLOURS = [EXACT, FLOW, ORANGE, GREEN, PURPLE, SKY, BLACK]  # reference first
MAP = "magma"


class Size(NamedTuple):
    """For what a figure is drawn.

    Attributes:
        font: size of its text, in points; everything else is in proportion.
        columns: panels side by side, at most; the others go below.
        width: of the figure in inches, at most.
    """

    font: float
    columns: int
    width: float


SLIDES = Size(15, 12, 80)
COLUMN = Size(8, 2, 7)  # a panel is as wide as a journal's column, 83 mm; two fill its page
FILM = Size(10, 12, 80)
_size: ContextVar[Size] = ContextVar("_size", default=SLIDES)


@contextmanager
def style(size: Size = SLIDES) -> Iterator[None]:
    """The look of all figures, for as long as it is entered: draw and save inside it."""
    token, scale = _size.set(size), size.font / SLIDES.font
    look: dict[Any, Any] = {
        "font.size": size.font,
        "axes.titlesize": 16 * scale,
        "axes.labelsize": 16 * scale,
        "figure.titlesize": 19 * scale,
        "legend.fontsize": 12 * scale,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8 * scale,
        "lines.linewidth": 1.8 * scale,
        "pdf.fonttype": 42,
        "savefig.dpi": 110 / scale,
    }
    look |= {f"{axis}tick.major.{what}": v * scale for axis in "xy" for what, v in _TICKS.items()}
    try:
        with mpl.rc_context(look):
            yield
    finally:
        _size.reset(token)


_TICKS = {"size": 3.5, "width": 0.8, "pad": 3.5}


def scaled(points: float) -> float:
    """A length or a size of text that is given for slides, in the size that is drawn."""
    return points * _size.get().font / SLIDES.font


def width(inches: float) -> float:
    """A width of a figure that is given for slides, or all there is."""
    return min(scaled(inches), _size.get().width)


def wrapped(entries: int) -> int:
    """How many entries of a legend go side by side."""
    return min(entries, 2 * _size.get().columns)


def figure(columns: int, title: str, axes: int | None = None) -> tuple[Figure, list[Axes]]:
    """Axes under a title, side by side: ``axes``, or as many as ``columns``.

    It is as wide as ``columns`` square ones, if that many fit beside each other; what does not goes
    below, and the last one takes what is left of its row.
    """
    number, wide = axes or columns, min(columns, _size.get().columns)
    rows = -(-number // wide)
    side = scaled(6.1)
    drawn = Figure((side * wide, side * rows - scaled(0.2)), layout=_layout(0.06))
    drawn.suptitle(title)
    if rows == 1:
        return drawn, list(np.ravel(drawn.subplots(1, number)))
    grid = drawn.add_gridspec(rows, wide)
    places = [grid[k // wide, k % wide] for k in range(number - 1)]
    places.append(grid[rows - 1, (number - 1) % wide :])
    return drawn, [drawn.add_subplot(place) for place in places]


def twins(pairs: int, title: str) -> tuple[Figure, list[Axes], list[Axes]]:
    """Pairs of square axes, one above the other and the pairs side by side.

    Where that many do not fit, one beside the other and the pairs one below the other.
    """
    beside = pairs <= _size.get().columns
    rows, columns = (2, pairs) if beside else (pairs, 2)
    drawn = Figure((scaled(6.1 * columns), scaled(6.1 * rows)), layout=_layout(0.06))
    drawn.suptitle(title)
    axes = drawn.subplots(rows, columns, squeeze=False)
    first, second = axes if beside else axes.T
    return drawn, list(first), list(second)


def stacked(columns: int, title: str) -> tuple[Figure, list[Axes], list[Axes]]:
    """Pairs of axes that share their abscissae: curves above, differences below.

    As many pairs as ``columns``, side by side where they fit.
    """
    wide = min(columns, _size.get().columns)
    blocks = -(-columns // wide)
    drawn = Figure((scaled(5.0 * wide), scaled(8.4 * blocks)), layout=_layout(0.04))
    drawn.suptitle(title)
    grid = drawn.add_gridspec(2 * blocks, wide, height_ratios=(3, 2) * blocks)
    upper, lower = [], []
    for k in range(columns):
        row, column = 2 * (k // wide), k % wide
        upper.append(drawn.add_subplot(grid[row, column]))
        lower.append(drawn.add_subplot(grid[row + 1, column], sharex=upper[-1]))
        upper[-1].tick_params(labelbottom=False)
    return drawn, upper, lower


def _layout(wspace: float) -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(wspace=wspace)


def publish(
    draw: Callable[[], Figure], slides: Sequence[Path | str], column: Sequence[Path | str]
) -> None:
    """Draw for each of the sizes, and save.

    Args:
        draw: makes the figure, in the style it finds.
        slides, column: where to write it in these sizes.
    """
    for size, paths in ((SLIDES, slides), (COLUMN, column)):
        with style(size):
            drawn = draw()
            for path in paths:
                save(drawn, path)


def save(drawn: Figure, path: Path | str) -> None:
    """Write PDF or PNG; the same content gives the same bytes."""
    path = Path(path)
    kind = path.suffix.lstrip(".")
    undated = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    with atomic(path) as temporary:
        drawn.savefig(temporary, format=kind, metadata=undated[kind])


def show_training(
    axis: Axes,
    steps: Array,
    F: Array,
    stderr: Array,
    final: Estimate | None,
    exact: Estimate,
    floor: float,
    F_below: Array | None = None,
) -> None:
    """F along the training, with the exact F and the floor of a flow without relabelling.

    Of the bounds, those that a step had no use for are NaN, and not drawn.

    Args:
        axis: to draw on.
        steps, F, stderr: (steps,) F of each training batch with its standard error, a band.
        final: F on fresh samples, if it is a bound.
        exact: F of the reference.
        floor: exact F + ln(n!) / beta, where a perfect flow ends that covers one relabelling of
            the electrons.
        F_below: (steps,) the lower bound on each batch of the reference.
    """
    axis.fill_between(steps, F - stderr, F + stderr, color=FLOW, alpha=0.35, lw=0)
    above, below = F[np.isfinite(F)], np.empty(0) if F_below is None else F_below
    if len(above):
        axis.plot(steps, F, color=FLOW, lw=scaled(0.6), label="training batches")
    if np.isfinite(below).any():
        axis.plot(
            steps, below, color=BELOW, lw=scaled(0.6), label="batches of Monte Carlo, from below"
        )
    if final:
        axis.errorbar(
            steps[-1:],
            [final.mean],
            yerr=[final.stderr],
            fmt="o",
            color="black",
            ms=scaled(5),
            capsize=scaled(4),
            zorder=5,
            label="fresh samples",
        )
    axis.axhline(floor, color=FLOOR, ls="--", label="floor: exact + ln(n!)/β")
    axis.axhline(exact.mean, color=EXACT, label="exact (Monte Carlo)")
    axis.axhspan(exact.mean - exact.stderr, exact.mean + exact.stderr, color=EXACT, alpha=0.3, lw=0)
    axis.set(xlabel="training step", ylabel="F  [trap energy]")
    top = max([*above[len(above) // 50 :][:1], exact.mean + 1.5 * (floor - exact.mean)])
    share = 0.5 if np.isfinite(below).any() else 0.06
    axis.set_ylim(exact.mean - share * (top - exact.mean), top)
    axis.legend(loc="best")


def show_scaling(
    axis: Axes, n: list[Array], values: list[Array], errors: list[Array], labels: list[str]
) -> None:
    """Quantities (sizes,) against the number of electrons, a line each, with their errors.

    Both axes are logarithmic, and show the numbers of electrons that there are.
    """
    if not labels:
        axis.text(0.5, 0.5, "nothing to show", transform=axis.transAxes, ha="center")
        return
    for k, label in enumerate(labels):
        colour = COLOURS[1 + k % (len(COLOURS) - 1)]
        axis.errorbar(
            n[k],
            values[k],
            errors[k],
            fmt="o-",
            color=colour,
            ms=scaled(6),
            capsize=scaled(3),
            label=label,
        )
    sizes = np.unique(np.concatenate(n))
    axis.set(xscale="log", yscale="log", xlabel="electrons n")
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axis.set_xticks([], minor=True)
    axis.legend(loc="best")


def show_gains(axis: Axes, labels: list[str], gains: list[Estimate], ceilings: list[float]) -> None:
    """What each symmetry gained in F, a bar with its error, in units of its ceiling.

    The numbers stand at the right, as ceilings differ by orders of magnitude.
    """
    y = np.arange(len(labels))[::-1]
    share = [g.mean / c for g, c in zip(gains, ceilings, strict=True)]
    error = [g.stderr / c for g, c in zip(gains, ceilings, strict=True)]
    axis.barh(y, share, xerr=error, color=FLOW, height=0.55, capsize=scaled(4))
    axis.axvline(1, color=EXACT, ls="--", label="ceiling: T ln|G|")
    axis.axvline(0, color="black", lw=scaled(0.8))
    for at, gain, ceiling in zip(y, gains, ceilings, strict=True):
        axis.text(
            1.02,
            at,
            f"{gain} of {ceiling:.3f}",
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=scaled(12),
        )
    axis.set(yticks=y, xlabel="gain in F over its ceiling", ylim=(-0.6, len(labels) - 0.4))
    axis.set_yticklabels(labels, fontsize=scaled(12))
    axis.legend(loc="upper left")


def show_curves(axis: Axes, curves: list[Curve], exact: Curve, labels: list[str]) -> None:
    """A quantity against beta: lines of flows with bands of one standard error, and points."""
    for (beta, mean, stderr), colour, label in zip(curves, COLOURS[1:], labels, strict=False):
        axis.plot(beta, mean, color=colour, marker=".", ms=scaled(5), label=label)
        axis.fill_between(beta, mean - stderr, mean + stderr, color=colour, alpha=0.35, lw=0)
    axis.errorbar(
        *exact, fmt="o", color=EXACT, ms=scaled(6), capsize=scaled(4), zorder=5, label="Monte Carlo"
    )
    axis.set_xscale("log")
    axis.set_xticks(exact.beta, [f"{beta:g}" for beta in exact.beta])
    axis.minorticks_off()


def show_slopes(axis: Axes, slopes: list[Curve], labels: list[str]) -> None:
    """The specific heats of flows once more, from the slopes of their <E>."""
    for slope, colour, label in zip(slopes, COLOURS[1:], labels, strict=False):
        axis.errorbar(
            *slope, color=colour, fmt="x", ms=scaled(6), lw=scaled(1), label=f"{label}: d⟨E⟩/dT"
        )


def show_gaps(axis: Axes, gaps: list[Curve]) -> None:
    """What flows are above the reference, with error bars of one standard error."""
    for gap, colour in zip(gaps, COLOURS[1:], strict=False):
        axis.errorbar(*gap, color=colour, marker="o", ms=scaled(5), capsize=scaled(4))
    axis.axhline(0, color=EXACT, lw=scaled(1))
    axis.set_xlabel("β  [1 / trap energy]")
