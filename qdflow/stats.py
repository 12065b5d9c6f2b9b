"""Numbers with their errors: independent samples, and Markov chains."""

from typing import NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats
from numpy.typing import ArrayLike, NDArray

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
    ess = np.asarray(array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean")).item()
    return Estimate(values.mean(), spread / np.sqrt(ess), ess)


def r_hat(chains: ArrayLike) -> float:
    """Rank-normalised split R-hat, 1 where the chains agree.  chains (chains, draws).

    Source: Vehtari et al., Bayesian Analysis 16, 667 (2021).
    """
    values = _finite(chains, ndim=2)
    if values.std() <= 1e-14 * np.abs(values).max():
        return 1.0
    return np.asarray(array_stats.rhat(values, chain_axis=0, draw_axis=1, method="rank")).item()


def _finite(x: ArrayLike, ndim: int) -> NDArray[np.float64]:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != ndim:
        raise ValueError(f"expected {ndim} axes, got shape {values.shape}")
    if values.size < 2:
        raise ValueError(f"an error bar needs at least 2 samples, got {values.size}")
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {values.size} samples are not finite")
    return values
