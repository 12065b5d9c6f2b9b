"""Do 95 % intervals cover the truth?  Many small runs with known answers, for every estimate."""

import math
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from qdflow.stats import Estimate, Found, proportion

Array = NDArray[np.float64]
Estimates = Mapping[str, Estimate | Found]

SIGMAS = 1.96  # half the width of a 95 % interval, in standard errors
WINDOW = (0.91, 0.98)  # where the coverage of such intervals must be


class Problem(NamedTuple):
    """What can be estimated again and again, and is known.

    Attributes:
        name: in words; it also seeds the runs.
        truth: by kind of estimate.
        run: the estimates of one run, some of which may be refused.
        runs: how many make the table.
    """

    name: str
    truth: Mapping[str, float]
    run: Callable[[np.random.Generator], Estimates]
    runs: int = 1000


class Coverage(NamedTuple):
    """How the estimates of one kind stand to the truth.

    Attributes:
        kind, problem, truth: of the estimate.
        runs: that gave an estimate.
        refused: runs that gave none.
        covered: share of the intervals that hold the truth.
        error: mean of the error bars over the scatter of the estimates; 1 if they are right.
        pull: mean and standard deviation of (estimate - truth) / error bar; 0 and 1 if normal.
    """

    kind: str
    problem: str
    truth: float
    runs: int
    refused: int
    covered: Estimate
    error: float
    pull: tuple[float, float]

    @property
    def holds(self) -> bool:
        """Whether the coverage is in the window."""
        return WINDOW[0] <= self.covered.mean <= WINDOW[1]


def measured(problem: Problem, runs: int | None = None) -> list[Coverage]:
    """The coverage of every kind of estimate of a problem, from independent seeds.

    Args:
        problem: to be run.
        runs: how often; None for as often as the problem says.

    Raises:
        ValueError: a kind was refused in all but one of the runs.
    """
    seed = zlib.crc32(problem.name.encode())
    found: dict[str, list[Estimate]] = {kind: [] for kind in problem.truth}
    runs = runs or problem.runs
    for k in range(runs):
        for kind, one in problem.run(np.random.default_rng([seed, k])).items():
            estimate, refusal = one if isinstance(one, Found) else (one, "")
            if not refusal:
                found[kind].append(estimate)
    return [_coverage(problem, kind, estimates, runs) for kind, estimates in found.items()]


def row(found: Coverage) -> tuple[str, ...]:
    """As text, for a table with the columns `COLUMNS`."""
    covered = Estimate(100 * found.covered.mean, 100 * found.covered.stderr, found.runs)
    return (
        found.kind,
        found.problem,
        f"{found.truth:.6g}",
        str(found.runs),
        str(found.refused or ""),
        f"{covered} %",
        f"{found.error:.2f}",
        f"{found.pull[0]:+.2f}, {found.pull[1]:.2f}",
        "yes" if found.holds else "no",
    )


COLUMNS = (
    "kind",
    "problem",
    "truth",
    "runs",
    "refused",
    "covered",
    "error bar / scatter",
    "pull: mean, sd",
    "91 to 98 %",
)


def autoregressive(rng: np.random.Generator, chains: int, draws: int, rho: float) -> Array:
    """Stationary AR(1) chains (chains, draws): N(0, 1), with the autocorrelation rho^t."""
    noise = rng.normal(size=(chains, draws))
    noise[:, 1:] *= math.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise, axis=1))


def _coverage(problem: Problem, kind: str, found: list[Estimate], runs: int) -> Coverage:
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} of {runs} runs of {problem.name!r} gave an estimate of {kind}; make"
            " the problem easier"
        )
    truth = problem.truth[kind]
    means, errors = np.array([e.mean for e in found]), np.array([e.stderr for e in found])
    pull = (means - truth) / errors
    return Coverage(
        kind,
        problem.name,
        truth,
        len(found),
        runs - len(found),
        proportion(float((np.abs(pull) < SIGMAS).mean()), len(found)),
        float(errors.mean() / means.std(ddof=1)),
        (float(pull.mean()), float(pull.std(ddof=1))),
    )
