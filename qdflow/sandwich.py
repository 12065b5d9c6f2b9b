"""F and <E> of p from one flow and the reference: from both sides, with a reason where not."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from qdflow import bases, bounds, labels
from qdflow.flows.base import Flow
from qdflow.stats import Estimate, Found, iid_mean, proportion, refused
from qdflow.system import TRAPS, System

Array = NDArray[np.float64]

NEVER = -1e6  # ln of a weight outside of the domain: 0 in sums, but a number in sorts
FOR_SITES = 0.1  # of the flow's samples, which are used for nothing else
CHUNK = 1000  # configurations at a time
SHARE = 0.01  # of the Ginibre ensemble in what is to cover all of p: costs 0.01 kT elsewhere


class Samples(NamedTuple):
    """Of a flow and of p.

    Attributes:
        x: (samples, n, 2) independent ones of the flow.
        log_q: (samples,) of them.
        reference: (chains, draws, n, 2) of p.
    """

    x: Array
    log_q: Array
    reference: Array


class Sandwich(NamedTuple):
    """What was found.

    Attributes:
        found: by (quantity, method).
        note: how q was made to cover all of p for the lower bound; empty if it does by itself.
    """

    found: dict[tuple[str, str], Found]
    note: str


class _Sides(NamedTuple):
    x: Array
    w: Array
    reference: Array
    offset: float = 0.0  # F where these samples live, less F
    home: float = 1.0  # share of the samples of q that live there


def sandwich(
    flow: Flow,
    system: System,
    beta: float,
    samples: Samples,
    exact: Estimate,
    generator: torch.Generator,
    luck: np.random.Generator,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> Sandwich:
    """F by `lower`, `lfep` and `bar`; E and the virial by `snis` and `independence`.

    A labelled flow is held against p in the domain of its labels (`qdflow.labels.Sites`), whose F
    is higher by ln n! / beta. The lower bound is then that of the mean of q over all relabellings,
    of which one term is kept, with a hundredth of a Ginibre ensemble of the same size: far from
    its samples q may be as small as e^-900, or have no preimage that can be found. What its labels
    alone cost the flow is `lost_relabellings`, and `misfit` what else is between its F and the
    exact one.

    Args:
        flow: with a log_prob.
        system: gives H.
        beta: inverse temperature.
        samples: of both.
        exact: F of the reference.
        generator: of a log_prob that is random.
        luck: of the Metropolis chains.
        report: called with the configurations of the reference done, and all of them.
    """
    w, n = _log_weight(system, beta, samples.x, samples.log_q), system.n
    sides, found, note = _Sides(samples.x, w, samples.reference), {}, ""
    if labelled := "permutation" not in flow.symmetry.split("+"):
        sides, order = _one_domain(flow, samples, w, beta)
        found["lost_relabellings", "domain"] = cost = labels.lost(order, n, beta)
        misfit = iid_mean(-w / beta).minus(exact).minus(cost.estimate)
        found["misfit", "domain"] = cost._replace(estimate=misfit)
    log_q = _located(flow, sides.reference, generator, report)
    missing = int(np.isneginf(log_q).sum())
    covering = log_q
    if labelled or missing:
        covering = _covering(log_q, sides, samples.x)
        note = "of q, relabelled, " if labelled else "of q "
        note += f"with {SHARE:.0%} of a Ginibre ensemble; no preimage found for"
        note += f" {missing} of {log_q.size} configurations"
    w_p, w_covering = (
        _log_weight(system, beta, sides.reference, values) for values in (log_q, covering)
    )
    found["no_preimage", "located"] = Found(proportion(missing / log_q.size, log_q.size))
    F = bounds.free_energies(sides.w, w_p, beta, sides.home, w_covering)
    found |= {("F", method): _lowered(one, sides.offset) for method, one in F.items()}
    found |= _means(system, beta, sides, w_p, luck)
    return Sandwich(_refused_if_away(found, sides.w), note)


def _refused_if_away(found: dict[tuple[str, str], Found], w: Array) -> dict[tuple[str, str], Found]:
    """Nothing by weights, if too few samples are in the domain to have any."""
    home = int((w > NEVER).sum())
    if home >= bounds.LEAST_ESS:
        return found
    why = f"{home} of {w.size} samples of the flow are in the domain of its labels"
    weighted = ("lfep", "bar", "snis", "independence")
    return {key: refused(home, why) if key[1] in weighted else one for key, one in found.items()}


def _means(
    system: System, beta: float, sides: _Sides, w_p: Array, luck: np.random.Generator
) -> dict[tuple[str, str], Found]:
    x = torch.from_numpy(sides.x)
    V, V_ee = system.trap_energy(x).numpy(), system.pair_energy(x).numpy()
    virial = TRAPS[system.trap].degree * V - V_ee - 2 * system.n / beta
    return {
        (quantity, method): one
        for quantity, values in (("E", V + V_ee), ("virial", virial))
        for method, one in bounds.energies(values, sides.w, w_p, luck, sides.home).items()
    }


def _one_domain(
    flow: Flow, samples: Samples, w: Array, beta: float
) -> tuple[_Sides, NDArray[np.int64]]:
    """What is in the domain of the flow's labels, and in which domain each of its samples is.

    The first of the flow's samples give the sites, and nothing else.
    """
    first = int(FOR_SITES * len(samples.x))
    sites = labels.sites(samples.x[:first], flow.symmetry)
    x, order = samples.x[first:], sites.order(samples.x[first:])
    home = (order == np.arange(x.shape[1])).all(1)
    chains, draws, *shape = samples.reference.shape
    reference = sites.relabelled(samples.reference.reshape(-1, *shape))
    return _Sides(
        x,
        np.where(home, w[first:], NEVER),
        reference.reshape(chains, draws, *shape),
        math.lgamma(x.shape[1] + 1) / beta,
        float(home.mean()),
    ), order


def _covering(log_q: Array, sides: _Sides, x: Array) -> Array:
    """ln of the density that is q but for a `SHARE`: that of a Ginibre ensemble as wide as x.

    In a domain of labels the ensemble's density is n! times as high.
    """
    n = x.shape[1]
    base = bases.build("ginibre", n)
    scale = math.sqrt(2 * np.square(x).sum(2).mean() / (n + 1))  # <|z|^2> of z is (n + 1) / 2
    log_b = base.log_prob(torch.from_numpy(sides.reference / scale)).numpy()
    log_b += (math.lgamma(n + 1) if sides.offset else 0.0) - 2 * n * math.log(scale)
    return np.logaddexp(math.log(1 - SHARE) + log_q, math.log(SHARE) + log_b)


def _log_weight(system: System, beta: float, x: Array, log_q: Array) -> Array:
    return system.log_weight(torch.from_numpy(x), torch.from_numpy(log_q), beta).numpy()


@torch.no_grad()
def _located(
    flow: Flow,
    x: Array,
    generator: torch.Generator,
    report: Callable[[int, int, str], None],
) -> Array:
    """ln q (chains, draws)."""
    flat, parts = torch.from_numpy(x.reshape(-1, *x.shape[2:])), []
    for part in flat.split(CHUNK):
        parts.append(flow.located(part.to(flow.device), generator).cpu())
        report(CHUNK * (len(parts) - 1) + len(part), len(flat), "")
    return torch.cat(parts).numpy().reshape(x.shape[:2])


def _lowered(one: Found, offset: float) -> Found:
    return one._replace(estimate=one.estimate._replace(mean=one.estimate.mean - offset))
