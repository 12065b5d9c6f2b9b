"""What a Wigner molecule is: single configurations, and all of them turned into one's frame.

The density of a round dot is round, whatever its electrons do, as every orientation is as likely.
Their order shows in a single configuration, and in a density whose configurations are first turned,
mirrored and relabelled so that they fit one of them best.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from qdflow.plotting import scaled

Array = NDArray[np.float64]
ANGLES = 36  # from which a fit starts, without and with a mirror
ROUNDS = 3  # of labels and angle in turn, which finish it


class Fitted(NamedTuple):
    """Configurations in the frame of a template.

    Attributes:
        x: (size, n, 2), electron i where the template has its own.
        misfit: (size,) root mean square distance of its electrons from the template's.
    """

    x: Array
    misfit: Array


def typical(energy: Array) -> int:
    """Which configuration has the median energy.  energy (size,)."""
    return int(np.argsort(energy)[len(energy) // 2])


def thinned(x: Array, most: int) -> Array:
    """At most so many configurations of x (size, n, 2), from all of its length."""
    return x[np.linspace(0, len(x) - 1, min(len(x), most)).round().astype(int)]


def fitted(x: Array, template: Array) -> Fitted:
    """Turn, mirror and relabel each configuration so that it is as close to a template as it gets.

    The fit starts from `ANGLES` angles, with and without a mirror, and takes the best labels
    (assignment problem) and the best angle (Kabsch, Acta Cryst. A 32, 922 (1976)) in turn: it ends
    in a minimum that may be local.

    Args:
        x: (size, n, 2).
        template: (n, 2).
    """
    placed = np.stack([_fit(one, template) for one in x])
    misfit = np.sqrt(np.square(placed - template).sum(-1).mean(-1))
    return Fitted(placed, misfit)


def spacing(template: Array) -> float:
    """The mean distance of an electron from its nearest neighbour.  template (n, 2)."""
    apart = cdist(template, template)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min(1).mean())


def show_configuration(axis: Axes, x: Array) -> None:
    """One configuration (n, 2) on top of a map."""
    axis.plot(*x.T, "o", ms=scaled(9), mfc="white", mec="black", mew=scaled(1.5), ls="none")


def _fit(x: Array, template: Array) -> Array:
    starts = [m @ _turn(angle).T for m in (x, x * [1, -1]) for angle in _ANGLES]
    # sums of distances to the nearest are cheap, and sort out most starts
    rough = [cdist(start, template, "sqeuclidean").min(0).sum() for start in starts]
    best = np.argsort(rough)[:6]
    ends = [_refined(starts[k], template) for k in best]
    return min(ends, key=lambda end: float(np.square(end - template).sum()))


def _refined(x: Array, template: Array) -> Array:
    for _ in range(ROUNDS):
        _, order = linear_sum_assignment(cdist(template, x, "sqeuclidean"))
        x = x[order]
        cross = (x[:, 0] * template[:, 1] - x[:, 1] * template[:, 0]).sum()
        x = x @ _turn(float(np.arctan2(cross, (x * template).sum()))).T
    return x


def _turn(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


_ANGLES = 2 * np.pi * np.arange(ANGLES) / ANGLES
