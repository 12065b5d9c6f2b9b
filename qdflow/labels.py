"""Which relabelling of a configuration a labelled flow covers, and what that costs it."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

from qdflow.stats import Estimate, Found, proportion, refused
from qdflow.symmetry import GROUPS, act

Array = NDArray[np.float64]

LEAST_SEEN = 0.9  # share of the probability in domains that were seen, to say anything of the rest


class Sites(NamedTuple):
    """Where a labelled flow keeps each electron; they pick one relabelling of every configuration.

    The electrons go to the sites such that the squared distances have the least sum. The
    configurations that this leaves as they are make up a domain: of the n! relabellings of any x,
    one lies in it. The integral of e^{-beta H} over the domain is Z / n!.

    Attributes:
        places: (images, n, 2), sets of sites that a symmetry takes to each other; the one that
            suits a configuration best is taken.
    """

    places: Array

    def order(self, x: Array) -> NDArray[Any]:
        """Which electron goes to each site.  x (size, n, 2) -> (size, n)."""
        return np.array([self._order_of_one(one) for one in x])

    def relabelled(self, x: Array) -> Array:
        """The relabelling in the domain.  x and the result (size, n, 2)."""
        return np.take_along_axis(x, self.order(x)[..., None], axis=1)

    def _order_of_one(self, x: Array) -> NDArray[Any]:
        distances = np.square(self.places[:, :, None] - x).sum(-1)  # (images, sites, electrons)
        found = [linear_sum_assignment(d) for d in distances]
        costs = [d[pairs].sum() for d, pairs in zip(distances, found, strict=True)]
        return found[int(np.argmin(costs))][1]


def sites(x: Array, symmetry: str) -> Sites:
    """From samples x (size, n, 2) of a flow with this symmetry, as the tables spell it.

    The mean position of each electron; where the flow is symmetric under a group of the plane, of
    the images that are nearest to each other.
    """
    names = [name for name in symmetry.split("+") if name in GROUPS]
    group = GROUPS[names[0]] if names else torch.eye(2, dtype=torch.float64)[None]
    images = act(group.unsqueeze(1), torch.from_numpy(x))  # (group, size, n, 2)
    place = images[0, 0]
    for _ in range(5):
        nearest = (images - place).square().sum((2, 3)).argmin(0)
        place = images[nearest, torch.arange(len(x))].mean(0)
    return Sites(act(group, place).numpy())


def lost(order: NDArray[Any], n: int, beta: float) -> Found:
    """By how much the F of a labelled flow is too high for its labels alone, at least.

    KL(q || q_sym) / beta, where q_sym is the mean over the relabellings. It is no less than
    (ln n! - S) / beta, S the entropy of the domain in which a sample of q lies: a divergence does
    not grow if all but the domain is forgotten (Cover & Thomas, Elements of Information Theory
    (2006), section 2.8). S is taken as large as it can be: what is in domains that were not seen,
    the share of samples that are alone in theirs (Good, Biometrika 40, 237 (1953)), is spread over
    all n! of them; the rest has the correction of Miller (1955). Refused where that share is large.

    Args:
        order: (samples, n) `Sites.order` of independent samples.
        n: electrons.
        beta: inverse temperature.
    """
    counts = np.unique(order, axis=0, return_counts=True)[1]
    samples, log_all = len(order), math.lgamma(n + 1)
    unseen = (counts == 1).sum() / samples
    if unseen > 1 - LEAST_SEEN:
        return refused(samples, f"{unseen:.0%} of the samples are alone in their domain")
    p = (1 - unseen) * counts / samples
    S = entr(p).sum() + entr(unseen) + unseen * log_all + (counts.size - 1) / (2 * samples)
    scatter = np.repeat(np.log(counts / samples), counts).std()
    of_unseen = proportion(unseen, samples).stderr * log_all
    error = math.hypot(scatter / math.sqrt(samples), of_unseen)
    value = max(0.0, log_all - S)
    return Found(Estimate(value / beta, error / beta, samples))
