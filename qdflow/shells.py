"""Shells of electrons around the centre: where they end, and how many electrons each holds."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from qdflow.densities import Profile, draw
from qdflow.plotting import COLOURS, FLOOR, scaled
from qdflow.stats import Estimate, proportion

Array = NDArray[np.float64]
Pattern = tuple[int, ...]
SHALLOW = 0.8  # of the lower of two maxima: a minimum above it parts nothing
SPARSE = 0.5  # electrons, fewer than which are no shell


def radial_distribution(x: Array, top: float, bins: int = 80) -> Profile:
    """Electrons per unit length at each distance from the centre, up to ``top``.

    Args:
        x: (size, n, 2) independent samples.
        top: the largest distance.
        bins: of equal width.
    """
    r = np.hypot(x[..., 0], x[..., 1])
    edges = np.linspace(0, top, bins + 1)
    counts = np.stack([np.histogram(row, edges)[0] for row in r])
    width = edges[1]
    error = counts.std(0, ddof=1) / np.sqrt(len(x))
    return Profile((edges[1:] + edges[:-1]) / 2, counts.mean(0) / width, error / width)


def boundaries(profile: Profile) -> Array:
    """The distances that part shells: deep minima of a radial distribution.

    A minimum is deep if it lies below `SHALLOW` of the lower of the maxima beside it, and a shell
    holds at least `SPARSE` electrons; other minima are noise, and join what they part.

    Args:
        profile: of `radial_distribution`.

    Returns:
        Of shape (shells - 1), from inside.
    """
    width = profile.r[1] - profile.r[0]
    N = np.convolve(profile.density, [0.25, 0.5, 0.25], mode="same")
    cuts = [k for k in range(1, len(N) - 1) if N[k] < N[k - 1] and N[k] <= N[k + 1]]
    while cuts:
        parts = np.split(N, cuts)
        tops = [part.max() for part in parts]
        held = [part.sum() * width for part in parts]
        depth = [N[cut] / max(min(tops[k : k + 2]), 1e-300) for k, cut in enumerate(cuts)]
        depth = [
            np.inf if min(held[k : k + 2]) < SPARSE else share for k, share in enumerate(depth)
        ]
        if max(depth) < SHALLOW:
            break
        del cuts[int(np.argmax(depth))]
    return profile.r[cuts]


def middle(x: Array) -> Array:
    """The distance with half of the electrons inside: a boundary (1,) where there are no shells.

    Args:
        x: (size, n, 2) samples.
    """
    return np.array([np.median(np.hypot(x[..., 0], x[..., 1]))])


def occupations(x: Array, ends: Array) -> NDArray[np.int64]:
    """Electrons in each shell (size, shells), from the centre.  x (size, n, 2)."""
    shell = np.searchsorted(ends, np.hypot(x[..., 0], x[..., 1]))
    return np.stack([(shell == k).sum(1) for k in range(len(ends) + 1)], axis=1)


def commonest(occupied: Sequence[NDArray[np.int64]], most: int) -> list[Pattern]:
    """The most frequent pattern of the first density, and then those that are frequent anywhere.

    Args:
        occupied: (size, shells) of each density.
        most: of them.
    """
    largest: dict[Pattern, float] = {}
    for rows in occupied:
        for pattern, count in Counter(map(tuple, rows.tolist())).most_common():
            largest[pattern] = max(largest.get(pattern, 0.0), count / len(rows))
    first = Counter(map(tuple, occupied[0].tolist())).most_common(1)[0][0]
    by_share = sorted(largest, key=lambda pattern: (pattern != first, -largest[pattern]))
    return by_share[:most]


def shares(occupied: NDArray[np.int64], patterns: Sequence[Pattern]) -> list[Estimate]:
    """How often each pattern is there, of independent samples (size, shells)."""
    same = [(occupied == np.array(pattern)).all(1).mean() for pattern in patterns]
    return [proportion(float(share), len(occupied)) for share in same]


def spelled(pattern: Pattern) -> str:
    """As the literature writes it: (1, 7, 12)."""
    return f"({', '.join(map(str, pattern))})"


def show_distributions(axis: Axes, profiles: list[Profile], labels: list[str], ends: Array) -> None:
    """Radial distributions, Monte Carlo's first, and ends of its shells, of shape (shells - 1)."""
    draw(axis, profiles, labels)
    for end in ends:
        axis.axvline(end, color=FLOOR, ls="--", lw=scaled(1.2))
    axis.set(
        xlabel="distance from the centre  [trap length]",
        ylabel="electrons per unit length",
        ylim=(0, None),
    )


def show_shares(
    axis: Axes, patterns: Sequence[Pattern], found: Sequence[Sequence[Estimate]]
) -> None:
    """How often each pattern of occupations is there, a bar with its error for each density."""
    height = 0.8 / len(found)
    for k, (row, colour) in enumerate(zip(found, COLOURS, strict=False)):
        y = np.arange(len(patterns)) + (k - (len(found) - 1) / 2) * height
        mean, error = ([getattr(one, part) for one in row] for part in ("mean", "stderr"))
        axis.barh(y, mean, height, xerr=error, color=colour, capsize=scaled(2))
    axis.set_yticks(range(len(patterns)), [spelled(p) for p in patterns])
    axis.set_xlabel("share of the configurations")
    axis.set_ylabel("electrons in each ring, from inside")
    axis.set(xlim=(0, None), ylim=(len(patterns) - 0.4, -0.6))
