"""Seconds until the reference knows F to 0.005 at n = 20, beta = 10: nobody else computes it."""

import time
from collections.abc import Callable

from benchmarks.harness import Contender, Match

N, BETA = 20, 10.0


def matches(quick: bool) -> list[Match]:
    """One, of one contender."""
    stderr_F = 1.0 if quick else 0.05  # in units of 1 / beta
    return [
        Match(
            "reference",
            f"sigma_F {stderr_F / BETA:g}",
            [Contender("qdflow", "benchmarks.reference:ours", {"stderr_F": stderr_F})],
            rounds=1 if quick else 2,
        )
    ]


def ours(stderr_F: float) -> Callable[[], dict[str, float]]:
    """`qdflow.reference.reference`, compiled beforehand."""
    from benchmarks.worker import processors
    from qdflow.reference import Budget, reference
    from qdflow.system import System

    seeds = iter(range(1000))

    def turn() -> dict[str, float]:
        start = time.perf_counter()
        budget = Budget(stderr_F=stderr_F, stderr_E=1.0)
        found = reference(System(N), BETA, budget, next(seeds), threads=processors())
        F = found.estimates["F"]
        return {"seconds": time.perf_counter() - start, "F": F.mean, "error of F": F.stderr}

    reference(
        System(2), BETA, Budget(ladders=2, draws=100, max_draws=100, warmup=10, keep=10), 0, 2
    )
    return turn
