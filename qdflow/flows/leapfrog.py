"""Leapfrog steps with learned forces, in the space of positions and momenta."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from qdflow import bases
from qdflow.flows._forces import radial, repulsion
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
    """

    claim = "shears of positions and momenta"
    exact_inverse = True
    width = 4

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        base: str = "ginibre",
        layers: int = 12,
        radial: int = 6,
    ) -> None:
        """Nearly the base, scaled to the size of the dot, with forces that share a weak push.

        Args:
            system: gives n and, by its trap, the size of the dot and the symmetry.
            generator: of the samples of the base that are measured for it.
            base: of the positions, a name in `bases.BASES`.
            layers: of two shears each; one more of the momenta follows.
            radial: softened Coulomb forces in the sum that makes up a pair's force.

        Raises:
            ValueError: no layer, no radial function, or an unknown base.
        """
        super().__init__()
        if min(layers, radial) < 1:
            raise ValueError(f"layers is {layers} and radial is {radial}; both must be at least 1")
        n = system.n
        positions = bases.build(base, n)
        self.symmetry = f"permutation+{TRAPS[system.trap].group}"
        self.base, self.momenta = bases.Extended(positions), bases.Gaussian(n)
        z = positions.sample(500, generator, torch.zeros((), dtype=torch.float64))
        scale, radius = bases.virial_size(system, z)
        self.log_s, self.log_p, self.log_r = (  # of positions and momenta before, momenta after
            nn.Parameter(torch.tensor(s, dtype=torch.float64).log()) for s in (scale, 0.2, 0.2)
        )
        self.forces = Forces(system.trap, radius, layers + 1, radial)
        self.a = nn.Parameter(torch.zeros(layers, dtype=torch.float64))
        self.b = nn.Parameter(torch.full_like(self.a, 0.12 * radius).log())
        self.g = nn.Parameter(torch.zeros(layers + 1, dtype=torch.float64))

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`, with z and x of shape (size, n, 4): momenta after positions.

        Cost per sample O(layers n^2 radial), no determinant.
        """
        y = z.permute(2, 1, 0).contiguous()  # samples last, as the loops of the forces run there
        x, p = self.log_s.exp() * y[:2], self.log_p.exp() * y[2:]
        a, b, g = self.a.exp().unbind(), self.b.exp().unbind(), self.g.neg().exp().unbind()
        for k, force in enumerate(self.forces()):
            p = g[k] * p + force(x)
            if k < len(a):
                x = a[k] * x + b[k] * p
        ladj = self._ladj().expand(len(z))
        return torch.cat([x, p]).permute(2, 1, 0), ladj, torch.ones_like(ladj)

    def inverse(self, x: Tensor) -> Tensor:
        """z with transform(z) = x, exactly.  x (size, n, 4) -> (size, n, 4)."""
        y = x.permute(2, 1, 0).contiguous()
        q, p = y[:2], y[2:]
        for k, force in reversed(list(enumerate(self.forces()))):
            if k < len(self.a):
                q = (q - self.b[k].exp() * p) * torch.exp(-self.a[k])
            p = (p - force(q)) * self.g[k].exp()
        z = torch.cat([q * torch.exp(-self.log_s), p * torch.exp(-self.log_p)])
        return z.permute(2, 1, 0)

    def image(self, z: Tensor) -> Draw:
        """Positions with log_q = ln q(x, p) - ln r(p), and the momenta forgotten."""
        y, ladj, sign = self.transform(z)
        x, p = y.split(2, dim=2)
        return Draw(x, self.base.log_prob(z) - ladj - self._log_r(p), sign)

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

    def extended(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """See `Flow.extended`."""
        p = self.log_r.exp() * self.momenta.sample(len(x), generator, like=x)
        return torch.cat([x, p], 2)

    def _ladj(self) -> Tensor:
        return 2 * self.base.n * (self.log_s + self.log_p + self.a.sum() - self.g.sum())

    def _log_r(self, p: Tensor) -> Tensor:
        """ln of the normal density r.  p (size, n, 2) -> (size,)."""
        scaled = p * torch.exp(-self.log_r)
        return self.momenta.log_prob(scaled) - 2 * self.base.n * self.log_r


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

    def forward(self) -> list[Callable[[Tensor], Tensor]]:
        """The force of each layer, (2, n, size) -> (2, n, size)."""
        tau = self.tau() if self.tau else [None] * len(self.k)
        terms = zip(self.phi(), self.chi(), self.k.unbind(), tau, strict=True)
        return [partial(self._force, *term) for term in terms]

    def _force(self, phi: Terms, chi: Terms, k: Tensor, tau: Terms | None, x: Tensor) -> Tensor:
        r2 = x.square().sum(0)
        f = repulsion(x, *phi) + (k + radial(r2, *chi)) * x
        if not tau:
            return f
        return f + radial(r2, *tau) / self.steepness * torch.stack(self.trap.gradient(*x))


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


build = Leapfrog
