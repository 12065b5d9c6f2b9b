"""Leapfrog steps with learned forces, in the space of positions and momenta."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from qdflow import bases
from qdflow.flows._forces import radial, repulsion, shears
from qdflow.flows._options import BaseName, Count
from qdflow.flows.base import Draw, Flow
from qdflow.system import TRAPS, System

Terms = tuple[Tensor, Tensor]  # w and c of a sum of softened Coulomb forces


class Leapfrog(Flow):
    """p -> e^-g p + f(x), x -> e^a x + e^b p, layer after layer, with any force f.

    Every electron gets an auxiliary momentum. A layer is two shears, exactly invertible whatever
    the force, with log-determinant 2 n (a - g). The forces know no labels, and of directions what
    the trap knows: permutations and the symmetry of the trap are exact, as the base has them all.
    And they may be as steep at short distances as the physical ones, which opens the Coulomb hole.
    Huang et al., Augmented Normalizing Flows (2020); Toth et al., Hamiltonian Generative Networks
    (2020).

    The density is that of positions and momenta. With a Gaussian r(p), log_q = ln q(x, p) - ln
    r(p), and E_q[H + log_q / beta] >= F: exp(-beta H(x)) r(p) has the integral Z as well. The
    weights exp(-beta H - log_q) are proper. The bound is that of the marginal q(x), plus the mean
    divergence of q(p | x) from r(p) over beta.

    Between layers momenta may be refreshed, in part, as in Monte Carlo: p and a fresh normal eta
    turn by an angle t, p -> p cos t + eta sin t, eta -> eta cos t - p sin t. What p was is kept
    behind the momenta and has its share of r, so that nothing is said of p that is not paid for.
    Horowitz, Phys. Lett. B 268, 247 (1991).
    """

    claim = "shears of positions and momenta"
    symmetry = "permutation"  # and that of the trap
    exact_inverse = True
    width = 4

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        base: BaseName = "ginibre",
        layers: Count = 12,
        radial: Count = 6,
        refresh: Annotated[int, {"minimum": 0}] = 0,
    ) -> None:
        """Nearly the base, scaled to the size of the dot, with forces that share a weak push.

        Args:
            system: gives n and, by its trap, the size of the dot and the symmetry.
            generator: of the samples of the base that are measured for it.
            base: what positions are drawn from.
            layers: shears of the momenta and of the positions, one after the other.
            radial: softened Coulomb forces in the sum that makes up a pair's force.
            refresh: how often, at even distances in the layers, momenta are mixed with fresh ones;
                at most once a layer.
        """
        super().__init__()
        n = system.n
        positions = bases.build(base, n)
        self.symmetry = f"permutation+{TRAPS[system.trap].group}"
        self.width = 4 + 2 * refresh
        self.base = bases.Extended(positions, 1 + refresh)
        self.momenta = bases.Gaussian(n)
        z = positions.sample(500, generator, torch.zeros((), dtype=torch.float64))
        scale, radius = bases.virial_size(system, z)
        self.log_s = nn.Parameter(torch.tensor(scale, dtype=torch.float64).log())
        each = torch.full((1 + refresh,), 0.2, dtype=torch.float64)
        self.log_p, self.log_r = (nn.Parameter(each.log()) for _ in range(2))  # before, after
        self.forces = Forces(system.trap, radius, layers + 1, radial)
        self.a = nn.Parameter(torch.zeros(layers, dtype=torch.float64))
        self.b = nn.Parameter(torch.full_like(self.a, 0.12 * radius).log())
        self.g = nn.Parameter(torch.zeros(layers + 1, dtype=torch.float64))
        self.angle = nn.Parameter(torch.full_like(each[1:], 0.7)) if refresh else None
        # the layer before each of them
        self.before = [math.ceil(k * layers / (refresh + 1)) - 1 for k in range(1, refresh + 1)]

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`, with z and x of shape (size, n, width): momenta after positions.

        Cost per sample O(layers n^2 radial), no determinant.
        """
        y = z.permute(2, 1, 0) * self._scales()  # samples last, as the loops run there
        y, old = y[:4], list(y[4:].split(2))
        for k, (force, *numbers) in enumerate(self._layers()):
            y = force.shears(y, *numbers)
            if k in self.before:
                y, old = self._turned(self.before.index(k), y, old)
        ladj = self._ladj().expand(len(z))
        return torch.cat([y, *old]).permute(2, 1, 0), ladj, torch.ones_like(ladj)

    def inverse(self, x: Tensor) -> Tensor:
        """z with transform(z) = x, exactly.  x (size, n, width) -> (size, n, width)."""
        y = x.permute(2, 1, 0)
        y, old = y[:4], list(y[4:].split(2))
        for k, (force, *numbers) in reversed(list(enumerate(self._layers()))):
            if k in self.before:
                y, old = self._turned(self.before.index(k), y, old, -1)
            y = force.unsheared(y, *numbers)
        return (torch.cat([y, *old]) / self._scales()).permute(2, 1, 0)

    def image(self, z: Tensor) -> Draw:
        """Positions with log_q = ln q(x, p) - ln r(p), and the momenta forgotten."""
        y, ladj, sign = self.transform(z)
        return Draw(y[..., :2], self.base.log_prob(z) - ladj - self._log_r(y[..., 2:]), sign)

    def log_prob(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """ln q(x, p) - ln r(p) at one p drawn from r for each x.  x (size, n, 2) -> (size,).

        Random: its exponential has the mean q(x), itself a mean below ln q(x). So E_p[H + log_q /
        beta] <= F over the Boltzmann distribution p, and both bounds on F hold.

        Args:
            x: (size, n, 2).
            generator: of the momenta; the same ones every time if left out.
        """
        y = self.extended(x, generator or torch.Generator().manual_seed(0))
        return self.base.log_prob(self.inverse(y)) - self._ladj() - self._log_r(y[..., 2:])

    def located(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Flow.located`."""
        return self.log_prob(x, generator)

    def extended(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Flow.extended`."""
        parts = (s * self.momenta.sample(len(x), generator, like=x) for s in self.log_r.exp())
        return torch.cat([x, *parts], 2)

    def _layers(self) -> Iterator[tuple["Force", Tensor, Tensor, Tensor]]:
        """The force, e^-g, e^a and e^b of each layer; the last one leaves positions."""
        g, a, b = self.g.neg().exp(), pad(self.a, (0, 1)).exp(), pad(self.b.exp(), (0, 1))
        return zip(self.forces(), g.unbind(), a.unbind(), b.unbind(), strict=True)

    def _turned(
        self, k: int, y: Tensor, old: list[Tensor], way: int = 1
    ) -> tuple[Tensor, list[Tensor]]:
        """After the k-th refreshment, or backwards before it."""
        t = way * cast(Tensor, self.angle)[k]
        x, p = y.split(2)
        kept = t.cos() * old[k] - t.sin() * p
        p = t.cos() * p + t.sin() * old[k]
        return torch.cat([x, p]), [*old[:k], kept, *old[k + 1 :]]

    def _scales(self) -> Tensor:
        """Of each coordinate of z, (width, 1, 1)."""
        return torch.cat([self.log_s[None], self.log_p]).exp().repeat_interleave(2)[:, None, None]

    def _ladj(self) -> Tensor:
        scales = self.log_s + self.log_p.sum()
        return 2 * self.base.n * (scales + self.a.sum() - self.g.sum())

    def _log_r(self, p: Tensor) -> Tensor:
        """ln of the normal density r.  p (size, n, width - 2) -> (size,)."""
        scaled = p * self.log_r.neg().exp().repeat_interleave(2)
        log_r = self.momenta.log_prob(torch.stack(scaled.split(2, 2))).sum(0)
        return log_r - 2 * self.base.n * self.log_r.sum()


class Forces(nn.Module):
    """f_i = sum_j phi(r_ij) (x_i - x_j) + (k + chi(|x_i|)) x_i + tau(|x_i|) v(x_i), for each layer.

    phi, chi and tau are sums of softened Coulomb forces, from steep to wide, and v is the gradient
    of the trap V, as long as x at the radius of the dot. Where V knows no directions, v would be x
    and is left out.
    """

    def __init__(self, trap: str, radius: float, layers: int, terms: int) -> None:
        """In a dot of that radius, at first a weak push apart that the layers share."""
        super().__init__()
        near, far = 0.3 * radius, 2.4 * radius
        self.phi = Radial(layers, terms, 0.09 * radius, far)
        self.phi.c.data[:, min(1, terms - 1)] = 0.3 / layers
        self.chi = Radial(layers, terms, near, far)
        self.k = nn.Parameter(torch.zeros(layers, dtype=torch.float64))
        self.trap = TRAPS[trap]
        self.steepness = self.trap.degree * radius ** (self.trap.degree - 2)
        self.tau = None if self.trap.group == "o2" else Radial(layers, terms, near, far)

    def forward(self) -> list["Force"]:
        """The force of each layer."""
        parts = zip(self.phi(), self.chi(), self.k.unbind(), strict=True)
        if not self.tau:
            return [Force(*part) for part in parts]
        along = (partial(self._along_trap, *tau) for tau in self.tau())
        return [Force(*part, tau) for part, tau in zip(parts, along, strict=True)]

    def _along_trap(self, w: Tensor, c: Tensor, x: Tensor) -> Tensor:
        r2 = x.square().sum(0)
        return radial(r2, w, c) / self.steepness * torch.stack(self.trap.gradient(*x))


class Force(NamedTuple):
    """phi, chi and k of a layer, and its force along the gradient of a trap that knows directions.

    Arrays are (4, n, size), momenta after positions.
    """

    phi: Terms
    chi: Terms
    k: Tensor
    along_trap: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """f.  x (2, n, size) -> (2, n, size)."""
        f = repulsion(x, *self.phi) + (self.k + radial(x.square().sum(0), *self.chi)) * x
        return f + self.along_trap(x) if self.along_trap else f

    def shears(self, y: Tensor, g: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """p -> g p + f(x), x -> a x + b p, one after the other.  y (4, n, size), x before p."""
        if self.along_trap:
            x, p = y.split(2)
            y = torch.cat([x, p + self.along_trap(x) / g])
        return shears(y, torch.stack([g, self.k, a, b]), *self.phi, *self.chi)

    def unsheared(self, y: Tensor, g: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """What `shears` takes to y (4, n, size)."""
        x, p = y.split(2)
        x = (x - b * p) / a
        return torch.cat([x, (p - self(x)) / g])


class Radial(nn.Module):
    """sum_k c_k (1 + r^2 / delta_k^2)^(-3/2) for each layer."""

    def __init__(self, layers: int, terms: int, near: float, far: float) -> None:
        """All c are 0 at first, delta from ``near`` to ``far``."""
        super().__init__()
        delta = torch.linspace(math.log(near), math.log(far), terms).double()
        self.log_delta = nn.Parameter(delta.repeat(layers, 1))
        self.c = nn.Parameter(torch.zeros(layers, terms, dtype=torch.float64))

    def forward(self) -> list[Terms]:
        """1 / delta^2 and c of each layer."""
        return list(zip(torch.exp(-2 * self.log_delta).unbind(), self.c.unbind(), strict=True))


def impossible(_: int, options: Mapping[str, Any]) -> str:
    """Why no flow has these options; empty if one has. Known to the plan."""
    layers, refresh = options["layers"], options["refresh"]
    if refresh > layers:
        return f"refresh is {refresh}; choose from 0 to the {layers} layers"
    return ""


build = Leapfrog
