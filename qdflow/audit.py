"""Is ln q a log-density? A search for folds: signs, a round trip, second preimages, normalisation.

A map that is not injective puts several z at one x. ln q of one branch is too low there, and
E_q[H + ln q / beta] no bound. Where nothing forbids it by construction, one has to look.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from qdflow import bases
from qdflow.flows._dense import DenseFlow
from qdflow.flows.base import Flow, drawn, minority_fraction
from qdflow.inverse import newton
from qdflow.stats import Estimate, iid_mean, proportion
from qdflow.symmetry import Averaged

DECISIVE = (
    "signs_samples",
    "jacobian",
    "round_trip",
    "consistency",
    "lost_in_folds",
    "normalisation",
)
NEGLIGIBLE = 1e-3  # of what folds may add to ln q, in its mean
EXACT = 1e-6  # what two ways to the same number may differ by
JACOBIANS = 20  # by automatic differentiation
NODES = {1: 201, 2: 21}  # of a grid along each coordinate, by n
RESOLVED = 0.02  # error of an integral with which a grid will do
POINTS, WIDER = 40_000, 1.3  # where it will not: random ones, and their spread over that of x
INFLATED = 2.0  # radius, in those of the base, at which signs are looked at as well
APART = 1e-3  # two preimages are two if some coordinate differs by more
_TOLERANCE = 1e-8


class Check(NamedTuple):
    """What one look at the map found.

    Attributes:
        estimate: of `quantity`.
        quantity: what was counted or measured.
        fault: a sentence if it is not as in a density that is the image of a bijection.
    """

    estimate: Estimate
    quantity: str
    fault: str = ""


class Budget(NamedTuple):
    """How hard to look.

    Attributes:
        samples: whose signs are counted, and on whose segments and inflations.
        preimages: x of which second preimages are searched.
        starts: of the search at each of them.
    """

    samples: int
    preimages: int
    starts: int


def audit(
    flow: Flow,
    beta: float,
    budget: Budget,
    generator: torch.Generator,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> dict[str, Check]:
    """All that can be looked at in this flow; of an averaged one, in what is averaged as well."""
    map_ = flow.flow if isinstance(flow, Averaged) else flow
    checks: dict[str, Check] = {}
    if map_.reparametrised:
        checks["jacobian"] = jacobian(map_, JACOBIANS, generator)
    if map_.exact_inverse:
        checks["round_trip"] = round_trip(map_, budget.preimages, generator)
    if flow.exact_log_prob:
        checks["consistency"] = consistency(flow, budget.preimages, generator)
    if not map_.claim:
        checks |= signs(map_, budget.samples, generator)
    if not map_.claim and isinstance(map_, DenseFlow):
        checks |= preimages(map_, beta, budget.preimages, budget.starts, generator, report)
    if flow.exact_log_prob and (n := flow.draw(1, generator).x.shape[1]) in NODES:
        checks["normalisation"] = normalised(flow, n, generator)
    return checks


def verdict(flow: Flow, checks: Mapping[str, Check]) -> str:
    """`failed`, `by construction` or `passed the search`, and why.

    Folds where q has next to no weight are told, but do not fail: F is what it is without them,
    within `NEGLIGIBLE` of kT.
    """
    for name in DECISIVE:
        if name in checks and checks[name].fault:
            return f"failed: {checks[name].fault}"
    if flow.claim:
        return f"by construction: {flow.claim}"
    told = [check.fault for check in checks.values() if check.fault]
    if told:
        return "passed the search: folds without weight, as " + " and ".join(told)
    return "passed the search: no fold and no second preimage"


@torch.no_grad()
def signs(flow: Flow, size: int, generator: torch.Generator) -> dict[str, Check]:
    """The rarer sign of det dx/dz: on samples, on segments between them, farther out."""
    z = flow.base.sample(size, generator, like=next(flow.parameters()))
    t = torch.rand(size, 1, 1, generator=generator, dtype=torch.float64).to(z)
    places = {
        "samples": z,
        "segments": t * z + (1 - t) * z.roll(1, 0),
        "inflated": INFLATED * z,
    }
    found = {}
    for name, there in places.items():
        share = minority_fraction(flow.transform(there)[2])
        fault = f"det J changes sign on {share:.2g} of the {name}" if share else ""
        quantity = "minority_sign" if name == "samples" else f"minority_sign_{name}"
        found[f"signs_{name}"] = Check(proportion(share, size), quantity, fault)
    return found


@torch.no_grad()
def round_trip(flow: Flow, size: int, generator: torch.Generator) -> Check:
    """The largest |z - inverse(transform(z))|, of flows with an exact inverse."""
    z = flow.base.sample(size, generator, like=next(flow.parameters()))
    miss = (flow.inverse(flow.transform(z)[0]) - z).abs().flatten(1).amax(1)
    worst = miss.max().item()
    fault = f"the inverse misses z by {worst:.2g}" if not worst < EXACT else ""
    return Check(Estimate(worst, 0.0, size), "round_trip", fault)


@torch.no_grad()
def consistency(flow: Flow, size: int, generator: torch.Generator) -> Check:
    """The largest |log_q - log_prob(x)| over samples, of flows with an exact log_prob."""
    draw = flow.draw(size, generator)
    worst = (flow.log_prob(draw.x) - draw.log_q).abs().max().item()
    fault = f"log_prob differs from a sample's log_q by {worst:.2g}" if not worst < EXACT else ""
    return Check(Estimate(worst, 0.0, size), "log_q_defect", fault)


def jacobian(flow: Flow, size: int, generator: torch.Generator) -> Check:
    """The largest |ladj - ln |det dx/dz||, the latter by automatic differentiation of x(z).

    An ln q that belongs to another map than the one applied, such as the exact flow of an
    ordinary differential equation that is solved in steps, shows here.
    """
    z = flow.base.sample(size, generator, like=next(flow.parameters())).requires_grad_()
    x, ladj, _ = flow.transform(z)
    rows = [torch.autograd.grad(c.sum(), z, retain_graph=True)[0] for c in x.flatten(1).unbind(1)]
    exact = torch.linalg.slogdet(torch.stack(rows, 1).flatten(2))[1]
    worst = (ladj - exact).abs().max().item()
    fault = f"ladj differs from ln |det dx/dz| by {worst:.2g}" if not worst < EXACT else ""
    return Check(Estimate(worst, 0.0, size), "ladj_defect", fault)


@torch.no_grad()
def preimages(
    flow: DenseFlow,
    beta: float,
    size: int,
    starts: int,
    generator: torch.Generator,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> dict[str, Check]:
    """A search for other z with the same x, by damped Newton steps from many starts.

    A start is a sample of the base, or the known z with noise of a tenth to ten times its spread.
    Where others are found, ln q is the logarithm of the sum over all branches, which raises F.

    Args:
        flow: with its full Jacobian.
        beta: inverse temperature.
        size: x to look at.
        starts: of the search at each of them.
        generator: of all of them.
        report: called with the starts done, their number, and a line of news.

    Returns:
        `second_preimages`, the share of x that have some, and `lost_in_folds`, the mean of
        (ln sum_k q_k - ln q) / beta: what F is too low by, at least.
    """
    z = flow.base.sample(size, generator, like=next(flow.parameters()))
    x, ladj, _ = flow.transform(z)
    known, log_q = [z], [flow.base.log_prob(z) - ladj]
    for start in range(starts):
        begin = _start(flow, z, start, generator).flatten(1)
        other, solved = newton(flow.mapping, x.flatten(1), begin, _TOLERANCE, iterations=30)
        other = other.view_as(z)
        new = solved & torch.stack([_apart(other, old) for old in known]).all(0)
        value = flow.base.log_prob(other) - flow.transform(other)[1]
        log_q.append(torch.where(new, value, -torch.inf))
        known.append(torch.where(new.view(-1, 1, 1), other, z))
        report(start + 1, starts, "")
    found = torch.stack(log_q)
    share = (found[1:] > -torch.inf).any(0).double().mean().item()
    folded = round(share * size)
    fault = f"{folded} of {size} samples have a second preimage" if folded else ""
    lost = iid_mean((found.logsumexp(0) - found[0]).cpu() / beta)
    # a share that was not seen would cost ln 2 at most: two z of one x, each as likely
    unseen = proportion(share, size).stderr * math.log(2) / beta
    lost = lost._replace(stderr=math.hypot(lost.stderr, unseen))
    heavy = lost.mean * beta > NEGLIGIBLE
    restated = f"folds raise F by {lost}, so ln q is no density" if heavy else ""
    return {
        "second_preimages": Check(proportion(share, size), "second_preimages", fault),
        "lost_in_folds": Check(lost, "lost_in_folds", restated),
    }


def normalised(flow: Flow, n: int, generator: torch.Generator) -> Check:
    """Whether q is normalised, for one electron or two.

    On a grid as wide as its samples; where that is too coarse to tell, by random numbers.
    """
    x = drawn(flow, 1000, generator)
    found = normalisation(flow, 1.3 * x.abs().max().item(), NODES[n])
    if found.stderr > RESOLVED:
        found = sampled_normalisation(flow, x, POINTS, generator)
    off = abs(found.mean - 1) > 4 * found.stderr + RESOLVED
    return Check(found, "normalisation", f"the integral of q is {found}, not 1" if off else "")


@torch.no_grad()
def sampled_normalisation(
    flow: Flow, x: Tensor, size: int, generator: torch.Generator, chunk: int = 10_000
) -> Estimate:
    """The integral of q over all x, as the mean of q / r over a wide normal density r.

    Args:
        flow: with a log_prob.
        x: (samples, n, 2) of it, which say how wide r has to be.
        size: points.
        generator: of the points.
        chunk: of them at a time.
    """
    width, base = WIDER * x.square().mean().sqrt(), bases.Gaussian(x.shape[1])
    z = base.sample(size, generator, like=x)
    log_r = base.log_prob(z) - x[0].numel() * width.log()
    log_q = torch.cat([flow.log_prob(width * part) for part in z.split(chunk)])
    return iid_mean((log_q - log_r).exp().cpu())


@torch.no_grad()
def normalisation(flow: Flow, edge: float, nodes: int, chunk: int = 100_000) -> Estimate:
    """The integral of q over all x by the trapezoidal rule, for one electron or two.

    Its error is the difference from the rule with every other node.

    Args:
        flow: with a log_prob.
        edge: of the square in which x lies.
        nodes: an odd number for each coordinate.
        chunk: configurations at a time.

    Raises:
        ValueError: three electrons or more, whose grid would be too large.
    """
    one = flow.draw(1, torch.Generator()).x
    n = one.shape[1]
    if n > 2:
        raise ValueError(f"a grid for {n} electrons is too large; normalisation takes 1 or 2")
    axis = torch.linspace(-edge, edge, nodes, dtype=torch.float64)
    grids = torch.meshgrid(*[axis] * (2 * n), indexing="ij")
    x = torch.stack([g.flatten() for g in grids], -1).unflatten(1, (n, 2)).to(one.device)
    q = torch.cat([flow.log_prob(part).exp() for part in x.split(chunk)])
    q = torch.nan_to_num(q.view([nodes] * (2 * n)))
    spacing = (axis[1] - axis[0]).item()
    fine = q.sum().item() * spacing ** (2 * n)
    coarse = q[(slice(None, None, 2),) * (2 * n)].sum().item() * (2 * spacing) ** (2 * n)
    return Estimate(fine, abs(fine - coarse), q.numel())


def _start(flow: DenseFlow, z: Tensor, start: int, generator: torch.Generator) -> Tensor:
    fresh = flow.base.sample(len(z), generator, like=z)
    if start % 2:
        return fresh
    scale = 10 ** (-1 + 2 * torch.rand(len(z), 1, 1, generator=generator, dtype=torch.float64))
    return z + scale.to(z) * fresh


def _apart(z: Tensor, other: Tensor) -> Tensor:
    return (z - other).abs().flatten(1).amax(1) > APART
