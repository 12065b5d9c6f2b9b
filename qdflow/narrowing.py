"""F between bounds as close as one asks for, by annealing that takes as many steps as it needs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from qdflow import bounds
from qdflow.annealing import Path, Pilot, Schedule, Works, anneal, path, pilot
from qdflow.flows.base import Flow
from qdflow.stats import Estimate, Found, effective_share, iid_mean
from qdflow.system import System

LEAST_STEPS, TRIAL_CHAINS = 8, 64
TRIALS = 4  # at most
SLOWEST = 0.4  # power of the steps with which the width is taken to fall at least
MARGIN = 1.2  # more steps than the trials ask for


class Budget(NamedTuple):
    """How far to go.

    Attributes:
        width: wanted distance of the bounds, in energy.
        chains: in each direction.
        max_steps: at most, and 8 or more.
    """

    width: float
    chains: int
    max_steps: int


class Narrowed(NamedTuple):
    """The result.

    Attributes:
        found: F by `annealed`, `annealed_lower` and `annealed_upper`.
        steps: that were taken, a number without error.
        accepted: the share of accepted moves, over the densities between.
        ess: effective share of the weights of the chains from q to p. The flow and the moves after
            it are a flow, too (Wu, Köhler & Noé, Stochastic normalizing flows (2020)), whose
            variational F is `annealed_upper`.
    """

    found: dict[str, Found]
    steps: Estimate
    accepted: Estimate
    ess: Estimate


def narrow(
    flow: Flow,
    system: System,
    beta: float,
    reference: NDArray[np.float64],
    budget: Budget,
    generator: torch.Generator,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> Narrowed:
    """Anneal between a flow and p in as many steps as bring the bounds together.

    What is lost on the way falls as one over the number of steps, once there are enough of them
    (Crooks, Phys. Rev. E 61, 2361 (2000)), and more slowly before. Trials with few chains say how
    fast, and how many steps are enough; they are no part of the result.

    Args:
        flow: that covers p by itself: with all permutations, and an exact inverse or log_prob.
        system: gives H.
        beta: inverse temperature.
        reference: (chains, draws, n, 2) of p; the starts are spread over all chains.
        budget: when to stop.
        generator: of samples and moves.
        report: called with the densities done, their number, and a line of news.

    Raises:
        ValueError: the flow is labelled, or cannot be annealed from p; or the reference has fewer
            than `budget.chains` configurations or than four a chain.
    """
    if "permutation" not in flow.symmetry.split("+"):
        raise ValueError(
            f"{type(flow).__name__} covers one relabelling of each configuration, and p all of"
            " them; anneal a flow that has the symmetry of permutations"
        )
    way = path(flow, system, beta, generator)
    plan = pilot(way, generator)
    steps = _enough(way, plan, reference, budget, beta, generator)
    found, works = _annealed(
        way, plan.schedule(steps), reference, budget.chains, beta, generator, report
    )
    share = effective_share(works.forward.cpu().numpy())
    return Narrowed(found, Estimate(steps, 0.0, 1), iid_mean(works.accepted), share)


def width(found: dict[str, Found]) -> Estimate:
    """Of the interval between the bounds."""
    return found["annealed_upper"].estimate.minus(found["annealed_lower"].estimate)


def _enough(
    way: Path,
    plan: Pilot,
    reference: NDArray[np.float64],
    budget: Budget,
    beta: float,
    generator: torch.Generator,
) -> int:
    """Steps, by trials of which each takes as many as the last one asked for."""
    few = min(max(TRIAL_CHAINS, budget.chains // 8), budget.chains)
    steps, power = LEAST_STEPS, 1.0
    tried: list[tuple[int, float]] = []
    for _ in range(TRIALS):
        found, _ = _annealed(way, plan.schedule(steps), reference, few, beta, generator)
        apart = width(found)
        tried.append((steps, max(apart.mean + apart.stderr, budget.width / 10)))
        if len(tried) > 1:
            (a, wide), (b, close) = tried[-2:]
            power = max(math.log(wide / close) / math.log(b / a), SLOWEST)
            if close > budget.width:  # beyond what was tried, no faster than in the limit
                power = min(power, 1.0)
        wanted = MARGIN * steps * (tried[-1][1] / budget.width) ** (1 / power)
        before, steps = steps, math.ceil(min(max(wanted, LEAST_STEPS), budget.max_steps))
        # a single trial says nothing of the power, and those of few chains are noisy: a leap to the
        # most there may be, and one back, are tried before they are taken
        settled = before / 1.5 <= steps <= 1.5 * before
        if settled or (steps == budget.max_steps and len(tried) > 1):
            break
    return steps


def _annealed(
    way: Path,
    schedule: Schedule,
    reference: NDArray[np.float64],
    chains: int,
    beta: float,
    generator: torch.Generator,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> tuple[dict[str, Found], Works]:
    starts = _starts(reference, chains)
    u_p = way.from_reference(torch.from_numpy(starts.reshape(-1, *starts.shape[2:])))
    works = anneal(way, schedule, way.from_flow(len(u_p)), u_p, generator, report)
    forward, backward = works.forward.cpu().numpy(), works.backward.cpu().numpy()
    return bounds.annealed(forward, backward.reshape(starts.shape[:2]), beta), works


def _starts(reference: NDArray[np.float64], chains: int) -> NDArray[np.float64]:
    """About so many configurations, evenly from each chain of the reference."""
    each = chains // len(reference)
    if not 4 <= each <= reference.shape[1]:
        raise ValueError(
            f"{chains} chains are {each} for each of the {len(reference)} of the reference, which"
            f" have {reference.shape[1]} configurations; take at least 4 and no more than that"
        )
    return reference[:, np.linspace(0, reference.shape[1] - 1, each).round().astype(int)]
