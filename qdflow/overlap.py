"""How a flow's samples overlap with p: the distribution of ln(p/q), and who carries the weight."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from qdflow.plotting import COLOURS, FLOOR, scaled

Array = NDArray[np.float64]


class Histogram(NamedTuple):
    """Of ln(p/q), per unit of it.

    Attributes:
        edges: (bins + 1,).
        own, stderr: (bins,) of the flow's samples, and its standard error.
        target: (bins,) of samples of p, as the flow's tell it by their weights; a bin in which the
            flow has no sample stays empty, whatever p has there.
    """

    edges: Array
    own: Array
    stderr: Array
    target: Array


def log_ratio(energy: Array, log_q: Array, beta: float, F: float) -> Array:
    """ln p(x) - ln q(x) = beta (F - H) - ln q of samples (size,), with the exact F.

    Its mean over samples of q is -beta (F_q - F), at or below 0; that of e^(ln p/q) is 1.
    """
    return beta * (F - energy) - log_q


def histogram(ratio: Array, edges: Array) -> Histogram:
    """Of ln(p/q) of independent samples of q (size,)."""
    counts, _ = np.histogram(ratio, edges)
    scale = len(ratio) * np.diff(edges)
    weights, _ = np.histogram(ratio, edges, weights=np.exp(ratio - ratio.max()))
    target = weights * np.exp(ratio.max()) / scale
    variance = counts * (1 - counts / len(ratio))
    return Histogram(edges, counts / scale, np.sqrt(variance) / scale, target)


def carried(ratio: Array) -> tuple[Array, Array]:
    """The share of the samples, largest weights first, and the share of all weight they carry.

    ratio (size,) -> (size,), (size,).
    """
    w = np.sort(np.exp(ratio - ratio.max()))[::-1]
    return np.arange(1, len(w) + 1) / len(w), np.cumsum(w) / w.sum()


def common_edges(ratios: list[Array], bins: int = 80) -> Array:
    """Edges (bins + 1,) around nearly all of each (size,), and 0, where a perfect flow is."""
    low = min(float(np.quantile(ratio, 0.001)) for ratio in ratios)
    high = max(float(ratio.max()) for ratio in ratios)
    margin = 0.03 * (max(high, 0) - low) + 1e-9
    return np.linspace(low - margin, max(high, 0) + margin, bins + 1)


def show_histograms(axis: Axes, found: list[Histogram], labels: list[str]) -> None:
    """A line for each flow's own samples, with its errors, and dashes for those of p."""
    for one, colour, label in zip(found, COLOURS[1:], labels, strict=False):
        middle = (one.edges[1:] + one.edges[:-1]) / 2
        axis.stairs(one.own, one.edges, color=colour, label=label)
        axis.errorbar(middle, one.own, one.stderr, fmt="none", color=colour, lw=scaled(1))
        seen = one.target > 0
        axis.plot(middle[seen], one.target[seen], color=colour, ls="--", lw=scaled(1.2))
    axis.axvline(0, color=FLOOR, lw=scaled(1))
    axis.set(xlabel="ln(p/q)", ylabel="samples per unit of ln(p/q)", yscale="log")
    lowest = min(one.own[one.own > 0].min() for one in found)
    axis.set_ylim(0.5 * lowest, None)


def show_carried(axis: Axes, ratios: list[Array], labels: list[str]) -> None:
    """Which share of the samples carries which share of the weight; ln(p/q) (size,) of each."""
    for ratio, colour, label in zip(ratios, COLOURS[1:], labels, strict=False):
        axis.plot(*carried(ratio), color=colour, label=label)
    share = np.geomspace(1 / max(map(len, ratios)), 1, 100)
    axis.plot(share, share, color=FLOOR, ls="--", label="q = p")
    axis.set(xscale="log", xlabel="share of the samples, heaviest first", ylim=(0, 1.02))
    axis.set_ylabel("share of all weight")
