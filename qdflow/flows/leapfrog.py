"""Leapfrog steps with learned forces, in the space of positions and momenta."""

import math

import torch
from torch import Tensor, nn

from qdflow import bases
from qdflow.flows.base import Draw, Flow
from qdflow.system import System


class Leapfrog(Flow):
    """p -> e^-g p + f(x), x -> e^a x + e^b p, layer after layer, with any force f.

    Every electron gets an auxiliary momentum. A layer is two shears, exactly invertible whatever
    the force, with log-determinant 2 n (a - g). The forces know neither labels nor directions:
    permutations, rotations and mirrors are exact symmetries, as they are of the base. And they
    may be as steep at short distances as the physical ones, which opens the Coulomb hole. Huang
    et al., Augmented Normalizing Flows (2020); Toth et al., Hamiltonian Generative Networks (2020).

    The density is that of positions and momenta. With a Gaussian r(p), log_q = ln q(x, p) - ln
    r(p), and E_q[H + log_q / beta] >= F: exp(-beta H(x)) r(p) has the integral Z as well. The
    weights exp(-beta H - log_q) are proper. The bound is that of the marginal q(x), plus the mean
    divergence of q(p | x) from r(p) over beta.
    """

    claim = "shears of positions and momenta"
    symmetry = "permutation+o2"
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
            system: gives n and, by its trap, the size of the dot.
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
        self.base, self.momenta = bases.Extended(positions), bases.Gaussian(n)
        z = positions.sample(500, generator, torch.zeros((), dtype=torch.float64))
        scale, radius = bases.virial_size(system, z)
        self.log_s, self.log_p, self.log_r = (  # of positions and momenta before, momenta after
            nn.Parameter(torch.tensor(s, dtype=torch.float64).log()) for s in (scale, 0.2, 0.2)
        )
        self.forces = nn.ModuleList(
            Force(n, radius, radial, 0.3 / layers) for _ in range(layers + 1)
        )
        self.a = nn.Parameter(torch.zeros(layers, dtype=torch.float64))
        self.b = nn.Parameter(torch.full_like(self.a, 0.12 * radius).log())
        self.g = nn.Parameter(torch.zeros(layers + 1, dtype=torch.float64))

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`, with z and x of shape (size, n, 4): momenta after positions.

        Cost per sample O(layers n^2 radial), no determinant.
        """
        y = z.mT.contiguous()
        x, p = self.log_s.exp() * y[:, :2], self.log_p.exp() * y[:, 2:]
        for k, force in enumerate(self.forces):
            p = torch.exp(-self.g[k]) * p + force(x)
            if k < len(self.a):
                x = self.a[k].exp() * x + self.b[k].exp() * p
        ladj = self._ladj().expand(len(z))
        return torch.cat([x, p], 1).mT, ladj, torch.ones_like(ladj)

    def inverse(self, x: Tensor) -> Tensor:
        """z with transform(z) = x, exactly.  x (size, n, 4) -> (size, n, 4)."""
        y = x.mT.contiguous()
        q, p = y[:, :2], y[:, 2:]
        for k, force in reversed(list(enumerate(self.forces))):
            if k < len(self.a):
                q = (q - self.b[k].exp() * p) * torch.exp(-self.a[k])
            p = (p - force(q)) * self.g[k].exp()
        return torch.cat([q * torch.exp(-self.log_s), p * torch.exp(-self.log_p)], 1).mT

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


class Force(nn.Module):
    """f_i = sum_j phi(r_ij) (x_i - x_j) + chi(|x_i|) x_i.

    phi and chi are sums of softened Coulomb forces c / (r^2 + delta^2)^(3/2), from steep to wide,
    chi with a constant.
    """

    def __init__(self, n: int, radius: float, radial: int, push: float) -> None:
        """Of n electrons in a dot of that radius, at first a weak push apart."""
        super().__init__()
        self.phi = Radial(radial, 0.09 * radius, 2.4 * radius)
        self.phi.c.data[min(1, radial - 1)] = push
        self.chi = Radial(radial, 0.3 * radius, 2.4 * radius)
        self.spring = nn.Parameter(torch.zeros((), dtype=torch.float64))
        i, j = torch.triu_indices(n, n, 1)
        apart = torch.zeros(n, len(i), dtype=torch.float64)
        pairs = torch.arange(len(i))
        apart[i, pairs], apart[j, pairs] = 1, -1
        self.register_buffer("apart", apart, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """f (size, 2, n) at x (size, 2, n)."""
        D = self.get_buffer("apart")  # x_i - x_j of a pair as a matrix, as products are cheap
        d = x @ D
        pairs = self.phi(d.square().sum(1)).unsqueeze(1) * d
        own = self.spring + self.chi(x.square().sum(1))
        return pairs @ D.mT + own.unsqueeze(1) * x


class Radial(nn.Module):
    """sum_k c_k (1 + r^2 / delta_k^2)^(-3/2)."""

    def __init__(self, terms: int, near: float, far: float) -> None:
        """All c are 0 at first, delta from ``near`` to ``far``."""
        super().__init__()
        self.log_delta = nn.Parameter(torch.linspace(math.log(near), math.log(far), terms).double())
        self.c = nn.Parameter(torch.zeros(terms, dtype=torch.float64))

    def forward(self, r2: Tensor) -> Tensor:
        """r^2 (*batch,) -> (*batch,)."""
        u = torch.rsqrt(1 + r2.unsqueeze(-1) * torch.exp(-2 * self.log_delta))
        return (u * u * u) @ self.c


build = Leapfrog
