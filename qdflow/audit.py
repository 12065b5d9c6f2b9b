"""Is ln q a log-density? A search for folds: signs, a round trip, second preimages, normalisation.

A map that is not injective puts several z at one x. ln q of one branch is too low there, and
E_q[H + ln q / beta] no bound. Where nothing forbids it by construction, one has to look.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from qdflow.flows._dense import DenseFlow
from qdflow.flows.base import Flow, minority_fraction
from qdflow.inverse import newton
from qdflow.stats import Estimate, iid_mean, proportion

INFLATED = 2.0  # radius, in those of the base, at which signs are looked at as well
APART = 1e-3  # two preimages are two if some coordinate differs by more
_TOLERANCE = 1e-8


class Check(NamedTuple):
    """What one look at the map found.

    Attributes:
        estimate: of `quantity`.
        quantity: what was counted or measured.
        fault: a sentence if the map is proven to be no density; else empty.
    """

    estimate: Estimate
    quantity: str
    fault: str = ""


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
        found[f"signs_{name}"] = Check(proportion(share, size), "minority_sign", fault)
    return found


@torch.no_grad()
def round_trip(flow: Flow, size: int, generator: torch.Generator) -> Check:
    """The largest |z - inverse(transform(z))|, of flows with an exact inverse."""
    z = flow.base.sample(size, generator, like=next(flow.parameters()))
    miss = (flow.inverse(flow.transform(z)[0]) - z).abs().flatten(1).amax(1)
    worst = miss.max().item()
    fault = f"the inverse misses z by {worst:.2g}" if not worst < 1e-6 else ""
    return Check(Estimate(worst, 0.0, size), "round_trip", fault)


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
    fault = f"ladj differs from ln |det dx/dz| by {worst:.2g}" if not worst < 1e-6 else ""
    return Check(Estimate(worst, 0.0, size), "ladj_defect", fault)


@torch.no_grad()
def preimages(
    flow: DenseFlow, beta: float, size: int, starts: int, generator: torch.Generator
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
    found = torch.stack(log_q)
    share = (found[1:] > -torch.inf).any(0).double().mean().item()
    fault = f"{share:.2g} of {size} samples have a second preimage" if share else ""
    lost = (found.logsumexp(0) - found[0]) / beta
    return {
        "second_preimages": Check(proportion(share, size), "second_preimages", fault),
        "lost_in_folds": Check(iid_mean(lost.cpu()), "lost_in_folds"),
    }


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
    n = flow.base.n
    if n > 2:
        raise ValueError(f"a grid for {n} electrons is too large; normalisation takes 1 or 2")
    axis = torch.linspace(-edge, edge, nodes, dtype=torch.float64)
    grids = torch.meshgrid(*[axis] * (2 * n), indexing="ij")
    x = torch.stack([g.flatten() for g in grids], -1).unflatten(1, (n, 2))
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
