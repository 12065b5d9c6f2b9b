"""Thermodynamics along beta: the curves of flows, beside the reference where there is one."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qdflow.summary import is_bound

Array = NDArray[np.float64]


class Curve(NamedTuple):
    """A quantity against ``beta`` (points,), rising: its ``mean`` and standard error."""

    beta: Array
    mean: Array
    stderr: Array

    def minus(self, other: "Curve") -> "Curve":
        """The difference from an independent curve, at the betas that both have."""
        beta, i, j = np.intersect1d(self.beta, other.beta, return_indices=True)
        error = np.hypot(self.stderr[i], other.stderr[j])
        return Curve(beta, self.mean[i] - other.mean[j], error)


def curve(rows: pd.DataFrame, quantity: str) -> Curve:
    """Of one quantity, from estimates at several betas; without F where it is no bound."""
    found = rows.loc[rows["quantity"] == quantity, :].sort_values("beta")
    if quantity == "F":
        found = found.loc[[is_bound(found.loc[[k], :]) for k in found.index], :]
    return Curve(*(np.asarray(found[name], float) for name in ("beta", "mean", "stderr")))


def standing(rows: pd.DataFrame) -> str:
    """The verdict on all of the points in a few words."""
    failed = rows.loc[rows["verdict"].str.startswith("failed"), "beta"].unique()
    if len(failed):
        return f"failed at β = {', '.join(f'{beta:g}' for beta in np.sort(failed))}"
    return rows["verdict"].iloc[0].split(":")[0]


def heat_from_slope(E: Curve) -> Curve:
    """C = d<E>/dT = -beta^2 d<E>/dbeta between neighbouring betas, at their geometric mean.

    In the middle of ln beta the difference is right up to the third derivative. What a flow's
    fluctuations say, beta^2 Var_q(H), agrees with this at q = p, and not by construction.
    """
    middle, step = np.sqrt(E.beta[1:] * E.beta[:-1]), np.diff(np.log(E.beta))
    slope = -middle / step  # as beta^2 d/dbeta = beta d/dln(beta)
    error = np.hypot(E.stderr[1:], E.stderr[:-1])
    return Curve(middle, slope * np.diff(E.mean), np.abs(slope) * error)
