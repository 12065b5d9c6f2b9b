"""The pair correlation g(r): how often two electrons are at a distance, over what chance has.

A dot has a centre, so chance is not a constant: it is two electrons placed independently of each
other, each with the density of the dot, as two of different configurations are.
"""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from qdflow.densities import Profile, draw
from qdflow.plotting import COLOURS, FLOOR, scaled

Array = NDArray[np.float64]
BLOCKS = 20  # of the jackknife
CHUNK = 1000  # configurations at a time, which bounds the memory


def pair_correlation(x: Array, top: float, bins: int = 50) -> Profile:
    """g(r) = h(r) / h_0(r) up to ``top``, with jackknife errors.

    h is the number of pairs at a distance r in a configuration; h_0 that of the density rho with
    itself, (1/2) int rho(x) rho(y) delta(|x - y| - r), from electrons of different configurations.
    Independent electrons have g = 1 - 1/n, as none is a pair with itself. Bins that chance leaves
    empty have g = NaN.

    Args:
        x: (size, n, 2) independent samples, at least two for each of `BLOCKS`.
        top: the largest distance.
        bins: of equal width.

    Raises:
        ValueError: too few samples, or a single electron, which has no pairs.
    """
    size, n, _ = x.shape
    if size < 2 * BLOCKS or n < 2:
        raise ValueError(
            f"a pair correlation needs {2 * BLOCKS} samples of 2 electrons, got {size} of {n}"
        )
    edges = np.linspace(0, top, bins + 1)
    other = np.roll(x, size // 2, axis=0)  # far away in the list, and so independent
    blocks = np.array_split(np.arange(size), BLOCKS)
    h = np.stack([_within(x[block], edges) for block in blocks])
    chance = np.stack([_between(x[block], other[block], edges) / 2 for block in blocks])
    with np.errstate(invalid="ignore", divide="ignore"):
        g = h.sum(0) / chance.sum(0)
        left_out = (h.sum(0) - h) / (chance.sum(0) - chance)
    spread = np.square(left_out - left_out.mean(0)).sum(0)
    error = np.sqrt((BLOCKS - 1) / BLOCKS * spread)
    return Profile((edges[1:] + edges[:-1]) / 2, np.where(np.isfinite(g), g, np.nan), error)


def show_correlations(axis: Axes, profiles: list[Profile], labels: list[str]) -> None:
    """Pair correlations, Monte Carlo's first, with error bars of one standard error."""
    draw(axis, profiles, labels)
    axis.axhline(1, color=FLOOR, ls="--", lw=scaled(1.2))
    axis.set(xlabel="distance between two electrons  [trap length]", ylabel="g(r)", ylim=(0, None))


def show_differences(axis: Axes, profiles: list[Profile], labels: list[str]) -> None:
    """What the pair correlations of flows are above Monte Carlo's, with their errors."""
    draw(axis, profiles, labels, first=1)
    axis.axhline(0, color=COLOURS[0], lw=scaled(1))
    axis.set(
        xlabel="distance between two electrons  [trap length]", ylabel="g(r) - that of Monte Carlo"
    )


def _within(x: Array, edges: Array) -> NDArray[np.int64]:
    i, j = np.triu_indices(x.shape[1], 1)
    return _counted([x[k : k + CHUNK, i] - x[k : k + CHUNK, j] for k in _starts(x)], edges)


def _between(x: Array, y: Array, edges: Array) -> NDArray[np.int64]:
    return _counted(
        [x[k : k + CHUNK, :, None] - y[k : k + CHUNK, None, :] for k in _starts(x)], edges
    )


def _starts(x: Array) -> range:
    return range(0, len(x), CHUNK)


def _counted(apart: list[Array], edges: Array) -> NDArray[np.int64]:
    return sum(
        (np.histogram(np.linalg.norm(part, axis=-1), edges)[0] for part in apart),
        np.zeros(len(edges) - 1, int),
    )
