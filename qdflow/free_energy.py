"""Free energies with their errors: of the non-interacting gas, along a ladder, of a flow."""

import logging
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from qdflow import checks
from qdflow.stats import Estimate, effective_share, iid_mean, pareto_k, squares_about_mean
from qdflow.system import TRAPS, System

Array = NDArray[np.float64]

WEIGHTS = ("ess", "pareto_k")  # quantities that are made from importance weights


def ideal_free_energy(system: System, beta: float) -> float:
    """-(n / beta) ln of the integral of e^{-beta V}: F of the gas without interaction.

    By the trapezoidal rule, which converges exponentially for a smooth integrand that has
    decayed at the edge (Trefethen & Weideman, SIAM Review 56, 385 (2014), section 5).
    """
    checks.positive(beta=beta)
    trap = TRAPS[system.trap]
    angle = np.linspace(0, np.pi, 181)
    shallowest = float(trap.potential(np.cos(angle), np.sin(angle)).min())
    edge = 1.5 * (100 / (beta * trap.potential(1.0, 0.0))) ** (1 / trap.degree)
    edge = max(edge, (40 / (beta * shallowest)) ** (1 / trap.degree))  # in every direction
    axis, spacing = np.linspace(-edge, edge, 1001, retstep=True)
    one_body = np.exp(-beta * trap.potential(axis[:, None], axis)).sum() * spacing**2
    return float(-system.n / beta * np.log(one_body))


def variational(energy: ArrayLike, log_q: ArrayLike, beta: float) -> dict[str, Estimate]:
    """F, <E>, S and C of a flow from fresh independent samples.  energy, log_q (samples,).

    F = E_q[H + ln q / beta] is an upper bound of the free energy if q is a normalised density.
    C = beta^2 Var_q(H) is the specific heat if q = p, and bounds nothing.

    Where q does not vanish at coincident electrons, the variance of 1/r diverges, but only as a
    logarithm: the mean over its sample error is still asymptotically normal (Gine, Goetze &
    Mason, Ann. Probab. 25, 1514 (1997)). There C is formally infinite, as slowly: a flow that
    keeps electrons apart never draws what would show it.
    """
    energy, log_q = np.asarray(energy, float), np.asarray(log_q, float)
    return {
        "F": iid_mean(energy + log_q / beta),
        "E": iid_mean(energy),
        "S": iid_mean(-log_q),
        "C": iid_mean(beta**2 * squares_about_mean(energy)),
    }


def weights(log_weight: ArrayLike) -> dict[str, Estimate]:
    """How far the samples of a flow can be reweighted to p: `ess` and `pareto_k`.

    Both look where q puts samples. A part of p that q never visits is missing from them: a flow
    that has lost a mode may have an ESS of 100 %. An ESS of a few samples is itself unreliable,
    as the largest weights are yet to be drawn; a Pareto k above 0.7 says so (Vehtari et al., J.
    Mach. Learn. Res. 25, 72 (2024)).

    Args:
        log_weight: (samples,) -beta H - ln q of independent samples of q, up to a constant.
    """
    found = {"ess": effective_share(log_weight), "pareto_k": pareto_k(log_weight)}
    return {name: value for name, value in found.items() if value is not None}


def ladder_free_energy(pair_energy: Array, couplings: Array, beta: float) -> Array:
    """F of the last rung minus F of the first, by BAR between neighbouring rungs.

    Args:
        pair_energy: (chains, draws, rungs) V_ee sampled on each rung.
        couplings: (rungs,) lambda of each rung.
        beta: inverse temperature.

    Returns:
        (chains, draws) whose mean is the difference: what each draw says of it, to first order.
        The chain mean of this influence series has the error of the difference, with the
        autocorrelation and the correlation between rungs and between neighbouring pairs that
        BAR's own formula, made for independent samples, leaves out.

    Source of the estimator: Bennett, J. Comput. Phys. 22, 245 (1976), eq. 12; of the influence
    of one sample on the root of an estimating equation: van der Vaart, Asymptotic Statistics
    (1998), theorem 5.21.
    """
    if not pair_energy.any():  # a single electron does no work on any other
        return np.zeros(pair_energy.shape[:2])
    pairs = zip(beta * np.diff(couplings), pair_energy.T[:-1], pair_energy.T[1:], strict=True)
    return (
        np.sum([_bar_influence(step * low, -step * high) for step, low, high in pairs], 0).T / beta
    )


def bar_difference(forward: Array, backward: Array) -> float:
    """The root of Bennett's equation, in kT, from works (samples,) of two sizes.

    Raises:
        ArithmeticError: a work is not finite, or the acceptance ratios could not be balanced.
    """
    if not (np.isfinite(forward).all() and np.isfinite(backward).all()):
        raise ArithmeticError("a work is not finite; raise the warm-up of the samples")
    difference = _pymbar_bar()(
        forward.ravel(), backward.ravel(), compute_uncertainty=False, relative_tolerance=1e-11
    )["Delta_f"]
    shift = difference - np.log(forward.size / backward.size)
    up, down = expit(shift - forward).sum(), expit(-shift - backward).sum()
    if abs(up - down) > 1e-8 * forward.size:
        raise ArithmeticError(f"BAR found no balance at {difference} kT; put the rungs closer")
    return float(difference)


def _bar_influence(forward: Array, backward: Array) -> Array:
    """The BAR estimate of a difference, in kT, plus each draw's influence on it.

    forward, backward: works of one shape, which the result has too.
    """
    difference = bar_difference(forward, backward)
    up, down = expit(difference - forward), expit(-difference - backward)
    slope = (up * (1 - up) + down * (1 - down)).mean()
    return difference - (up - down) / slope


@cache
def _pymbar_bar() -> Callable[..., dict[str, float]]:
    """`pymbar.bar`, imported when it is needed: half a second, which most jobs can do without."""
    log = logging.getLogger("pymbar")
    log.setLevel(logging.ERROR)  # at import it prints that JAX is missing
    from pymbar import bar

    log.setLevel(logging.NOTSET)  # later warnings are worth reading
    return bar
