"""F and <E> from a flow and a reference together: bounds from both sides, and what they bracket.

With w = -beta H - ln q, on independent samples of q and on chains of p = e^{-beta H} / Z.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp, softmax

from qdflow.free_energy import bar_difference
from qdflow.stats import (
    Estimate,
    Found,
    chain_mean,
    effective_share,
    iid_mean,
    pareto_k,
    refused,
    smoothed,
    unseen_squares,
)

Array = NDArray[np.float64]

LEAST_OVERLAP = 0.03  # Klimovich, Shirts & Mobley, J. Comput.-Aided Mol. Des. 29, 397 (2015)
LEAST_ESS = 100.0
WORST_K = 0.7  # Vehtari et al., J. Mach. Learn. Res. 25, 72 (2024): beyond it no error bar holds
LOST = 5.0  # times the overlap that p sees: more than the two, which are noisy, differ by chance
CHAINS = 8  # of the independence sampler


def free_energies(
    w_q: ArrayLike,
    w_p: ArrayLike,
    beta: float,
    home: float = 1.0,
    covering: ArrayLike | None = None,
) -> dict[str, Found]:
    """F by method: `lower`, `lfep`, `bar`.

    lower is the bound E_p[H + ln q / beta] <= F; lfep is -ln E_q[e^w] / beta (Zwanzig, J. Chem.
    Phys. 22, 1420 (1954)), bar is Bennett's acceptance ratio. The two estimates are refused where
    q and p overlap too little for their errors to mean anything.

    Args:
        w_q: (samples,) independent samples of q.
        w_p: (chains, draws) of p; infinite where no preimage was found.
        beta: inverse temperature.
        home: see `lost_part`.
        covering: (chains, draws) in place of w_p for the lower bound, of a density that covers p.
    """
    w_q, w_p = np.asarray(w_q, float), np.asarray(w_p, float)
    missing = int(np.isposinf(w_p).sum())
    why = f"no preimage was found for {missing} of {w_p.size} configurations of the reference"
    return {
        "lower": Found(chain_mean(-np.asarray(w_p if covering is None else covering) / beta)),
        "lfep": lfep(w_q, w_p, beta, home),
        "bar": refused(0, why) if missing else bar(-w_q, w_p, beta),
    }


def lfep(w_q: Array, w_p: Array, beta: float, home: float = 1.0) -> Found:
    """-ln E_q[e^w] / beta; refused where few samples carry it, or if it has lost a part of p.

    The error allows for the weights that are yet to come (`qdflow.stats.unseen_squares`).
    Arguments as those of `lost_part`.
    """
    share = effective_share(w_q)
    ess = share.mean * w_q.size
    if fault := lost_part(w_q, w_p, home) or _light(w_q, ess):
        return refused(ess, fault)
    F = -(logsumexp(w_q) - np.log(w_q.size)) / beta
    unseen = np.square(softmax(w_q)).max() * unseen_squares(w_q, 1)
    return Found(Estimate(float(F), np.sqrt(1 / ess - 1 / w_q.size + unseen) / beta, ess))


def lost_part(w_q: Array, w_p: Array, home: float = 1.0) -> str:
    """Why weights say nothing of all of p: its own samples see less overlap; empty if they do.

    Args:
        w_q: (samples,).
        w_p: (chains, draws).
        home: share of q's samples in the domain in which p is taken, where it is not everywhere.
    """
    share, seen = effective_share(w_q).mean, home * effective_share_of_p(w_p)
    if seen >= share / LOST:
        return ""
    return (
        f"the effective share is {share:.2g} on the flow's samples and {seen:.2g} on the"
        " reference's: the flow has lost a part of them"
    )


def effective_share_of_p(w_p: ArrayLike) -> float:
    """What `qdflow.stats.effective_share` estimates, from samples of p: 1 / (E_p[w] E_p[1/w]).

    It sees the modes that q has lost; where w is infinite, q is 0 and the share is, too. Where p
    is taken in a domain only, E_p[1/w] = q(domain) / Z: then it is the share over q(domain). Any
    shape.
    """
    w = np.asarray(w_p, float).ravel()
    if np.isposinf(w).any():
        return 0.0
    return float(np.exp(2 * np.log(w.size) - logsumexp(w) - logsumexp(-w)))


def bar(forward: ArrayLike, backward: ArrayLike, beta: float) -> Found:
    """F of the end over that of the start by Bennett's acceptance ratio.

    Source: Bennett, J. Comput. Phys. 22, 245 (1976), eq. 12; Crooks, Phys. Rev. E 61, 2361 (2000)
    for works of processes. The error is that of a root of an estimating equation (van der Vaart,
    Asymptotic Statistics (1998), theorem 5.21), with the correlations of the chains. The ESS is
    that of the scarcer side times the overlap.

    Args:
        forward: (samples,) works in kT of independent samples.
        backward: (chains, draws) works of the reversed process from samples of the other end.
        beta: inverse temperature.
    """
    forward, backward = np.asarray(forward, float), np.asarray(backward, float)
    n_f, n_b = forward.size, backward.size
    difference = bar_difference(forward, backward.ravel())
    shift = difference - np.log(n_f / n_b)
    up, down = expit(shift - forward), expit(-shift - backward)
    slope = (up * (1 - up)).sum() + (down * (1 - down)).sum()
    overlap = float(slope * (1 / n_f + 1 / n_b) / 2)
    ups, downs = iid_mean(up), chain_mean(down)
    ess = min(ups.ess, downs.ess) * overlap
    if overlap < LEAST_OVERLAP:
        return refused(ess, f"the overlap is {overlap:.2g}, below {LEAST_OVERLAP}")
    if ess < LEAST_ESS:
        return refused(ess, f"the overlap leaves {ess:.3g} effective samples")
    error = np.hypot(n_f * ups.stderr, n_b * downs.stderr) / slope
    return Found(Estimate(float(difference / beta), float(error / beta), ess))


def annealed(forward: ArrayLike, backward: ArrayLike, beta: float) -> dict[str, Found]:
    """F by method from `qdflow.annealing.Works`: `annealed` and the bounds on either side of it.

    annealed is Bennett's acceptance ratio of both directions; annealed_upper and annealed_lower
    are the mean works, whose expectations bound F however few the steps.

    Args:
        forward: (samples,) ln of the weights of independent chains from q to p.
        backward: (chains, draws) of those from p to q, by the chain that their start is of.
        beta: inverse temperature.
    """
    forward, backward = np.asarray(forward, float), np.asarray(backward, float)
    return {
        "annealed_upper": Found(iid_mean(-forward / beta)),
        "annealed_lower": Found(chain_mean(-backward / beta)),
        "annealed": bar(-forward, backward, beta),
    }


def energies(
    energy: ArrayLike,
    w_q: ArrayLike,
    w_p: ArrayLike,
    generator: np.random.Generator,
    home: float = 1.0,
) -> dict[str, Found]:
    """<E> of p by method, from samples of q: `snis` and `independence`.

    Args:
        energy: (samples,) H, or any other quantity whose mean is wanted.
        w_q: (samples,).
        w_p: (chains, draws) of p, which know what q has lost; then both are refused.
        generator: of the Metropolis chains.
        home: see `lost_part`.
    """
    energy, w_q = np.asarray(energy, float), np.asarray(w_q, float)
    if fault := lost_part(w_q, np.asarray(w_p, float), home):
        return dict.fromkeys(("snis", "independence"), refused(0.0, fault))
    return {"snis": snis(energy, w_q), "independence": independence(energy, w_q, generator)}


def snis(energy: Array, w_q: Array) -> Found:
    """The weighted mean of energies (samples,), the largest weights smoothed as by a Pareto law.

    Source: Vehtari et al., J. Mach. Learn. Res. 25, 72 (2024); error: Owen, Monte Carlo theory,
    methods and examples (2013), eq. 9.9, and `qdflow.stats.unseen_squares`.
    """
    mean, variance, unseen, ess = _reweighted(energy, w_q)
    if fault := _light(w_q, ess):
        return refused(ess, fault)
    return Found(Estimate(mean, float(np.sqrt(variance + unseen)), ess))


def independence(energy: Array, w_q: Array, generator: np.random.Generator) -> Found:
    """The mean over Metropolis chains whose proposals are the samples of q, each used once.

    Energies and ln w are both (samples,).
    Source: Hastings, Biometrika 57, 97 (1970), section 2.5. A tenth of each chain is left out.
    The error is that of the chains, or of `snis` if that is larger: the chains cannot know more
    than their proposals. Those that disagree have a larger error and are not refused: it is the
    chains that have found a large weight and stay there, and without them the mean is biased.
    """
    draws = w_q.size // CHAINS
    w, H = (values[: CHAINS * draws].reshape(CHAINS, draws) for values in (w_q, energy))
    luck = np.log(generator.random((CHAINS, draws)))
    chosen = np.zeros((CHAINS, draws), dtype=int)
    rows = np.arange(CHAINS)
    for t in range(1, draws):
        before = chosen[:, t - 1]
        chosen[:, t] = np.where(luck[:, t] < w[:, t] - w[rows, before], t, before)
    kept = np.take_along_axis(H, chosen, axis=1)[:, draws // 10 :]
    accepted = float((np.diff(chosen, axis=1) > 0).mean())
    if np.ptp(kept, axis=1).min() == 0:
        return refused(0.0, f"a chain is frozen; all accepted {accepted:.1%} of the proposals")
    _, variance, unseen, ess = _reweighted(energy, w_q)
    if fault := _light(w_q, ess):
        return refused(ess, fault)
    mean = chain_mean(kept)
    error = np.sqrt(max(mean.stderr**2, variance) + unseen)
    return Found(Estimate(mean.mean, float(error), mean.ess))


def _reweighted(energy: Array, w_q: Array) -> tuple[float, float, float, float]:
    """The weighted mean, its sample variance, what that lacks, and the ESS of the weights."""
    weight = softmax(smoothed(w_q))
    mean = float(weight @ energy)
    squares = np.square(weight * (energy - mean))
    unseen = float(squares.max() * unseen_squares(w_q))
    return mean, float(squares.sum()), unseen, float(1 / np.square(weight).sum())


def _light(w_q: Array, ess: float) -> str:
    """Why a weighted mean has no error to trust; empty if it has."""
    if ess < LEAST_ESS:
        return f"{ess:.3g} of {w_q.size} samples carry the weight"
    k = pareto_k(w_q)
    if k is not None and k.mean > WORST_K:
        return f"the weights have a Pareto k of {k.mean:.2f}, above {WORST_K}"
    return ""
