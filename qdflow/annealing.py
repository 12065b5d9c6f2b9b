"""Annealing between a flow's density and Boltzmann's, in both directions.

Along densities proportional to q e^{lambda w}, with w = -beta H - ln q and lambda from 0 to 1, a
chain of Hamiltonian Monte Carlo moves carries samples of q to p, or samples of p to q. The works
bound the free energy from both sides, whatever the flow, and the closer the more steps there are.
Neal, Stat. Comput. 11, 125 (2001); Grosse, Ghahramani & Adams, Sandwiching the marginal
likelihood using bidirectional Monte Carlo (2015); Jarzynski, Phys. Rev. Lett. 78, 2690 (1997).
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from qdflow.flows.base import Flow
from qdflow.system import System

ACCEPTANCE = 0.8  # of the moves, where Hamiltonian Monte Carlo does best
LEAPS = 4  # leapfrog steps of a move
_FIRST, _FIRST_ROUNDS = 0.05, 15  # step of the first pilot move, and how many find the size
_KNOTS = 12  # parts of the path that the pilot looks at
_CHAINS, _ROUNDS = 48, 3  # of the pilot, and its moves at each lambda


class Path(Protocol):
    """Two densities of the same variables u, and how to come by samples of them."""

    def from_flow(self, size: int) -> Tensor:
        """Independent u (size, ...) of q."""
        ...

    def from_reference(self, x: Tensor) -> Tensor:
        """u of p, from samples x (size, n, 2) of p."""
        ...

    def densities(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """ln q and w at u, (size,) each, differentiable; up to a constant in ln q."""
        ...


class _Between:
    """The flow and the system at one beta; the generator is that of the samples."""

    def __init__(self, flow: Flow, system: System, beta: float, generator: torch.Generator) -> None:
        self.flow, self.system, self.beta, self.generator = flow, system, beta, generator

    def _with_flow(self, x: Tensor) -> Tensor:
        """x on the device of the flow."""
        return x.to(self.flow.device)


class Positions(_Between):
    """u = x, for a flow that gives ln q anywhere at once."""

    def from_flow(self, size: int) -> Tensor:
        """See `Path`."""
        return self.flow.sample(size, self.generator)[0]

    def from_reference(self, x: Tensor) -> Tensor:
        """See `Path`."""
        return self._with_flow(x)

    def densities(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """See `Path`."""
        log_q = self.flow.log_prob(u)
        return log_q, self.system.log_weight(u, log_q, self.beta)


class Latent(_Between):
    """u = z: the image of p under the inverse map against the base, all of one size."""

    def from_flow(self, size: int) -> Tensor:
        """See `Path`."""
        return self.flow.base.sample(size, self.generator, like=next(self.flow.parameters()))

    def from_reference(self, x: Tensor) -> Tensor:
        """See `Path`; the flow's exact inverse."""
        x = self._with_flow(x)
        extended = self.flow.extended(x, self.generator) if self.flow.width > 2 else x
        return self.flow.inverse(extended)

    def densities(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """See `Path`."""
        draw = self.flow.image(u)
        w = self.system.log_weight(draw.x, draw.log_q, self.beta)
        return self.flow.base.log_prob(u), w


class Schedule(NamedTuple):
    """The densities that are visited, and the moves there.

    Attributes:
        couplings: (steps + 1,) lambda from 0 to 1.
        sizes: (steps - 1,) of a leap at each lambda between.
    """

    couplings: Tensor
    sizes: Tensor


class Pilot(NamedTuple):
    """What a first run from q found at some lambda; held fixed in all runs to come.

    Attributes:
        couplings: (knots + 1,) lambda, evenly from 0 to 1.
        spread: (knots,) sd of w from each of them on.
        sizes: (knots - 1,) of the leaps that reach `ACCEPTANCE`, at each of those between.
    """

    couplings: Tensor
    spread: Tensor
    sizes: Tensor

    def schedule(self, steps: int) -> Schedule:
        """So many steps, with the lambda at equal distances, sd_lambda(w) dlambda."""
        even = self.couplings
        length = torch.cat([even[:1], (self.spread * even.diff()).cumsum(0)])
        at = torch.linspace(0, 1, steps + 1).double() * length[-1]
        couplings = _interpolated(at, length, even)
        couplings[-1] = 1.0
        between = couplings[1:-1].clamp(even[1], even[-2])
        return Schedule(couplings, _interpolated(between, even[1:-1], self.sizes))


class Works(NamedTuple):
    """ln of the weights of finished chains, and what happened on the way.

    Attributes:
        forward: (size,) from q to p; exp has the mean Z.
        backward: (size,) from p to q; exp of minus it has the mean 1/Z.
        accepted: (steps - 1,) fraction of the moves, of both directions.
    """

    forward: Tensor
    backward: Tensor
    accepted: Tensor


def path(flow: Flow, system: System, beta: float, generator: torch.Generator) -> Path:
    """The path for this flow: through z if it is a map, else through x.

    Raises:
        ValueError: the flow has neither an exact inverse nor an exact log_prob.
    """
    if not (flow.exact_log_prob or flow.exact_inverse):
        raise ValueError(
            f"{type(flow).__name__} has no exact inverse to start from samples of p; choose a flow"
            " that has"
        )
    return (Latent if flow.exact_inverse else Positions)(flow, system, beta, generator)


@torch.no_grad()
def pilot(path: Path, generator: torch.Generator) -> Pilot:
    """Find the spread of w along the path and the sizes of its moves, by a few chains from q.

    The moves of the two directions are each other's reversal, as neither is tuned any further.
    """
    couplings = torch.linspace(0, 1, _KNOTS + 1, dtype=torch.float64)
    here = _at(path, path.from_flow(_CHAINS))
    size, sizes, spread = _FIRST, [], [_spread(here.w)]
    for k, coupling in enumerate(couplings[1:-1].tolist()):
        for _ in range(_ROUNDS if k else _FIRST_ROUNDS):
            here, accepted = _moved(path, here, coupling, size, generator)
            size *= math.exp(0.5 * (accepted - ACCEPTANCE))
        sizes.append(size)
        spread.append(_spread(here.w))
    tensors = (torch.tensor(values, dtype=torch.float64) for values in (spread, sizes))
    return Pilot(couplings, *tensors)


@torch.no_grad()
def anneal(
    path: Path,
    schedule: Schedule,
    u_q: Tensor,
    u_p: Tensor,
    generator: torch.Generator,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> Works:
    """Carry samples of q to p and samples of p to q.

    Args:
        path: between the two.
        schedule: see `Pilot`.
        u_q, u_p: (size, ...) of q and of p.
        generator: of the moves.
        report: called with the densities done, their number, and a line of news.
    """
    steps = len(schedule.couplings) - 1
    increments = schedule.couplings.diff()
    works, accepted = [], []
    for first, u in ((True, u_q), (False, u_p)):
        order = range(steps) if first else range(steps - 1, -1, -1)
        work, seen = u.new_zeros(len(u)), [0.0] * (steps - 1)
        here = _at(path, u)
        for done, k in enumerate(order):
            # forwards the move of density k comes before its share of the work, backwards that
            # of density k + 1: the same chain, read from either end
            move = k if first else k + 1
            if 0 < move < steps:
                here, share = _moved(
                    path,
                    here,
                    schedule.couplings[move].item(),
                    schedule.sizes[move - 1].item(),
                    generator,
                )
                seen[move - 1] = share
            work = work + increments[k] * here.w
            report(done + 1 + (0 if first else steps), 2 * steps, "")
        works.append(work)
        accepted.append(torch.tensor(seen, dtype=torch.float64))
    return Works(works[0], works[1], (accepted[0] + accepted[1]) / 2)


class _Here(NamedTuple):
    u: Tensor
    log_q: Tensor
    w: Tensor
    log_q_slope: Tensor
    w_slope: Tensor


def _at(path: Path, u: Tensor) -> _Here:
    with torch.enable_grad():
        v = u.detach().requires_grad_()
        log_q, w = path.densities(v)
        slopes = [
            torch.autograd.grad(t.sum(), v, retain_graph=keep)[0]
            for t, keep in ((log_q, True), (w, False))
        ]
    return _Here(u, log_q.detach(), w.detach(), *slopes)


def _moved(
    path: Path, here: _Here, coupling: float, size: float, generator: torch.Generator
) -> tuple[_Here, float]:
    """One move that keeps q e^{coupling w}, and the share of the chains that accepted it.

    Leaps are of random size, so that no orbit comes back to its start (Neal, MCMC using
    Hamiltonian dynamics (2011), section 5.3.2.2).
    """
    p = torch.randn(here.u.shape, generator=generator, dtype=here.u.dtype).to(here.u)
    shape = (len(p), *[1] * (p.ndim - 1))
    leap = size * (0.4 + 0.8 * torch.rand(shape, generator=generator, dtype=p.dtype).to(p))
    start = _level(here, coupling) - _kinetic(p)
    there = here
    p = p + leap / 2 * _force(there, coupling)
    for k in range(LEAPS):
        there = _at(path, there.u + leap * p)
        p = p + (leap if k < LEAPS - 1 else leap / 2) * _force(there, coupling)
    log_ratio = _level(there, coupling) - _kinetic(p) - start
    luck = torch.rand(len(start), generator=generator, dtype=start.dtype).to(start).log()
    accepted = luck < log_ratio  # never where the ratio is NaN
    return _where(accepted, there, here), accepted.double().mean().item()


def _level(here: _Here, coupling: float) -> Tensor:
    return here.log_q + coupling * here.w


def _force(here: _Here, coupling: float) -> Tensor:
    return here.log_q_slope + coupling * here.w_slope


def _kinetic(p: Tensor) -> Tensor:
    return p.square().flatten(1).sum(1) / 2


def _where(accepted: Tensor, there: _Here, here: _Here) -> _Here:
    return _Here(
        *(
            torch.where(accepted.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(there, here, strict=True)
        )
    )


def _spread(w: Tensor) -> float:
    """Of most of w: a quarter of the distance between its 2.5 and 97.5 per cent points."""
    low, high = torch.quantile(w, w.new_tensor([0.025, 0.975])).tolist()
    return max((high - low) / 4, 1e-6)


def _interpolated(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """y at the places ``at``, linear between x, which rises."""
    k = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    return y[k - 1] + (at - x[k - 1]) / (x[k] - x[k - 1]) * (y[k] - y[k - 1])
