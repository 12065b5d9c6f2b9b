"""Numbers with their errors: independent samples, and Markov chains."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_STANDS_FOR = 5.0  # weights like it, at most
CONVERGED = "converged"  # the verdict of a sampling that reached its errors


class Estimate(NamedTuple):
    """A number that never travels without its error.

    Attributes:
        mean: the estimate.
        stderr: one standard error of it.
        ess: how many independent samples would give that error.
    """

    mean: float
    stderr: float
    ess: float

    def sigmas_from(self, exact: float) -> float:
        """How many standard errors the estimate lies above ``exact`` (0 if it equals it)."""
        gap = self.mean - exact
        return gap / self.stderr if self.stderr > 0 else (np.inf * np.sign(gap) if gap else 0.0)

    def minus(self, other: "Estimate") -> "Estimate":
        """The difference from an independent estimate; its ESS is the smaller of the two."""
        error = float(np.hypot(self.stderr, other.stderr))
        return Estimate(self.mean - other.mean, error, min(self.ess, other.ess))

    def __str__(self) -> str:
        """The mean with its error in brackets, in units of the last digit: 157.5637(17).

        The bracket holds one digit, or two where one would be coarse (10 to 25). No more than
        nine decimals are shown: 0.138629436(0).
        """
        if not (np.isfinite(self.stderr) and self.stderr > 0):
            return f"{self.mean:.6g}({self.stderr:g})"
        digits = min(9, max(0, int(np.ceil(np.log10(2.5 / self.stderr)))))
        return f"{self.mean:.{digits}f}({round(self.stderr * 10**digits)})"


class Found(NamedTuple):
    """An estimate, or why there is none.

    Attributes:
        estimate: its mean and error are NaN if it is refused.
        refusal: a sentence; empty if there is an estimate.
    """

    estimate: Estimate
    refusal: str = ""


def refused(ess: float, why: str) -> Found:
    """No estimate, and why."""
    return Found(Estimate(np.nan, np.nan, float(ess)), f"refused: {why}")


def iid_mean(x: ArrayLike) -> Estimate:
    """Mean of independent samples.  x (samples,).

    Raises:
        ValueError: fewer than two samples, or a sample that is not finite.
    """
    values = _finite(x, ndim=1)
    return Estimate(values.mean(), values.std(ddof=1) / np.sqrt(values.size), values.size)


def squares_about_mean(x: ArrayLike) -> NDArray[np.float64]:
    """What each sample says of the variance, to first order: its square about the mean of all.

    The mean of the result is the unbiased variance; its error, as that of any mean, is that of
    the variance (for independent samples and for chains alike). x and the result have one shape.
    """
    values = np.asarray(x, dtype=np.float64)
    return (values - values.mean()) ** 2 * (values.size / (values.size - 1))


def proportion(share: float, samples: int) -> Estimate:
    """A share of independent samples, with an error that does not vanish at 0 or 1.

    Source: Agresti & Coull, Am. Stat. 52, 119 (1998): the error as if two more samples had
    fallen on either side.
    """
    padded = (share * samples + 2) / (samples + 4)
    return Estimate(share, float(np.sqrt(padded * (1 - padded) / (samples + 4))), samples)


def effective_share(log_weight: ArrayLike) -> Estimate:
    """(sum w)^2 / (samples sum w^2) of independent weights, between 1 / samples and 1.

    Its error is that of the jackknife (Efron & Stein, Ann. Stat. 9, 586 (1981)), with
    `unseen_squares` added: a share that hangs on one weight changes much when that one is left
    out, and larger ones may be yet to come, which leave of it nothing at worst.

    Args:
        log_weight: (samples,) ln w, up to a constant.

    Raises:
        ValueError: fewer than three samples, or one that is not finite.
    """
    values = _finite(log_weight, ndim=1)
    if values.size < 3:
        raise ValueError(f"a share of weights needs at least 3 samples, got {values.size}")
    top = values.argmax()
    w = np.exp(values - values[top])
    rest = np.exp(np.delete(values, top) - np.delete(values, top).max())
    without = (w.sum() - w) ** 2 / np.maximum(np.square(w).sum() - np.square(w), 1e-300)
    without[top] = rest.sum() ** 2 / np.square(rest).sum()  # by subtraction, rounding is left
    share = w.sum() ** 2 / np.square(w).sum() / w.size
    variance = without.var() / (w.size - 1)  # of shares of (samples - 1) weights
    unseen = unseen_squares(values) / np.square(w).sum() ** 2  # the largest w is 1
    return Estimate(share, float(np.sqrt(variance + share**2 * min(unseen, 1))), w.size)


def unseen_squares(log_weight: ArrayLike, power: int = 2) -> float:
    """What the sample variance of a weighted sum lacks, over the square of its largest term.

    The squares of the weights have a tail of shape 2k, whose mean beyond any point is 1 / (1 - 2k)
    times that point. The largest weight stands for all that are larger still, and counts but
    once: without the rest, intervals that hang on few weights are too short. Where k is so large
    that it hardly can be told from 1/2, the factor is `LARGEST_STANDS_FOR`.

    That is the factor of a sum of weights (power 1). The powers are no theorem: that of weights
    times values which depend on the same x, and that of an ESS, need its square for their coverage
    (docs/validation.md).

    Args:
        log_weight: (samples,) ln w, up to a constant.
        power: of the factor.
    """
    k = pareto_k(log_weight)
    left = 1 - 2 * max(k.mean, 0) if k else 1.0
    return 1 / max(left, 1 / LARGEST_STANDS_FOR) ** power - 1


def pareto_k(log_weight: ArrayLike) -> Estimate | None:
    """The shape of the tail of independent weights, of which fewer than 1/k moments exist.

    The fit is that of Vehtari et al., J. Mach. Learn. Res. 25, 72 (2024), its error that of the
    best estimate from so many weights of the tail (Smith, Ann. Stat. 15, 1174 (1987)).

    Args:
        log_weight: (samples,) ln w, up to a constant.

    Returns:
        None where the tail has no shape: fewer than 25 weights, all of them alike, or largest
        ones that differ by more than e^700.
    """
    values = np.sort(_finite(log_weight, ndim=1))
    tail = int(min(values.size / 5, 3 * np.sqrt(values.size)))
    if tail < 5 or not 1e-9 < np.ptp(values[-tail - 1 :]) < 700:
        return None
    k = np.asarray(_arviz().psislw(-values)[1]).item()
    return Estimate(k, (1 + max(k, 0)) / np.sqrt(tail), tail)


def smoothed(log_weight: ArrayLike) -> NDArray[np.float64]:
    """ln of independent weights, the largest smoothed as by a Pareto distribution if they have one.

    Source: Vehtari et al., J. Mach. Learn. Res. 25, 72 (2024). Shape (samples,), up to a constant.
    """
    values = np.asarray(log_weight, dtype=np.float64)
    if pareto_k(values) is None:
        return values
    return np.asarray(next(iter(_arviz().psislw(-values))), dtype=np.float64)


def chain_mean(chains: ArrayLike) -> Estimate:
    """Mean over correlated Markov chains of one length.  chains (chains, draws).

    The error is the Monte Carlo standard error sd / sqrt(ESS), with the effective sample size
    of Vehtari et al., Bayesian Analysis 16, 667 (2021): autocorrelations within the
    chains, enlarged by what the chains disagree about.

    Raises:
        ValueError: fewer than two chains of four draws, or a value that is not finite.
    """
    values = _finite(chains, ndim=2)
    if values.shape[0] < 2 or values.shape[1] < 4:
        raise ValueError(f"need at least 2 chains of 4 draws, got {values.shape}; sample longer")
    spread = values.std(ddof=1)
    if spread <= 1e-14 * np.abs(values).max():  # a constant, up to rounding, is known exactly
        return Estimate(values.mean(), 0.0, values.size)
    ess = np.asarray(_arviz().ess(values, chain_axis=0, draw_axis=1, method="mean")).item()
    return Estimate(values.mean(), spread / np.sqrt(ess), ess)


def r_hat(chains: ArrayLike) -> float:
    """Rank-normalised split R-hat, 1 where the chains agree.  chains (chains, draws).

    Source: Vehtari et al., Bayesian Analysis 16, 667 (2021).
    """
    values = _finite(chains, ndim=2)
    if values.std() <= 1e-14 * np.abs(values).max():
        return 1.0
    return np.asarray(_arviz().rhat(values, chain_axis=0, draw_axis=1, method="rank")).item()


def power_law(x: ArrayLike, y: ArrayLike) -> Estimate:
    """The exponent b of y = a x^b by least squares of the logarithms; its error is their scatter.

    Args:
        x, y: (points,) above 0.

    Raises:
        ValueError: fewer than three points, or one that is not finite.
    """
    logs = _finite(np.log(x), ndim=1), _finite(np.log(y), ndim=1)
    if logs[0].size < 3:
        raise ValueError(f"an exponent with an error needs 3 points, got {logs[0].size}")
    from scipy.stats import linregress  # slow to import, as arviz is

    line: Any = linregress(*logs)
    return Estimate(float(line.slope), float(line.stderr), logs[0].size)


def _arviz() -> Any:
    # it takes a second to import, which jobs that need it not would pay as well
    from arviz_stats.base.array import array_stats

    return array_stats


def _finite(x: ArrayLike, ndim: int) -> NDArray[np.float64]:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != ndim:
        raise ValueError(f"expected {ndim} axes, got shape {values.shape}")
    if values.size < 2:
        raise ValueError(f"an error bar needs at least 2 samples, got {values.size}")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {values.size} samples are not finite")
    return values
