"""What z is drawn from; every base is symmetric under permutations, rotations and mirrors."""

import math
from typing import Protocol

import torch
from torch import Tensor

from qdflow import pairs
from qdflow.eigenvalues import hessenberg_eigenvalues
from qdflow.system import TRAPS, System


class Base(Protocol):
    """A normalised density of n labelled electrons that can be sampled."""

    n: int

    def sample(self, size: int, generator: torch.Generator, like: Tensor) -> Tensor:
        """z (size, n, 2), with the dtype of ``like`` and on its device.

        Drawn where the generator lives: a CPU generator gives the same z for every device.
        """
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """ln of the density.  z (*batch, n, 2) -> (*batch,)."""
        ...


class Gaussian:
    """Independent standard normal coordinates of n electrons."""

    def __init__(self, n: int) -> None:
        """For z of shape (size, n, 2)."""
        self.n = n

    def sample(self, size: int, generator: torch.Generator, like: Tensor) -> Tensor:
        """See `Base.sample`."""
        shape = (size, self.n, 2)
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device)
        return z.to(like.device)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln N(z; 0, 1).  z (*batch, n, 2) -> (*batch,)."""
        return -0.5 * z.square().sum((-2, -1)) - self.n * math.log(2 * math.pi)


class Ginibre:
    """Eigenvalues of an n x n matrix of independent complex normal numbers, in random order.

    Their density over labelled electrons, with z_i in the complex plane, is prod_{i<j}
    |z_i - z_j|^2 exp(-sum_i |z_i|^2) / (pi^n prod_{k=1}^n k!): that of charges which repel by a
    logarithm, in a trap at one temperature. They fill a disk of radius sqrt(n) evenly.
    Ginibre, J. Math. Phys. 6, 440 (1965), eq. 1.31; Mehta, Random Matrices (2004), chapter 15.
    """

    def __init__(self, n: int) -> None:
        """For z of shape (size, n, 2)."""
        self.n = n
        self._log_norm = n * math.log(math.pi) + sum(math.lgamma(k + 1) for k in range(1, n + 1))

    def sample(self, size: int, generator: torch.Generator, like: Tensor) -> Tensor:
        """See `Base.sample`; about 0.03 ms a sample of n = 20 electrons.

        Rotations bring a matrix to Hessenberg form. They leave its upper triangle as it is
        distributed, and of a column below it the norm on the subdiagonal.
        """
        n, device = self.n, generator.device
        shape = (2, n, n, size)
        H = torch.randn(shape, generator=generator, dtype=like.dtype, device=device) / math.sqrt(2)
        lower = torch.ones(n, n, dtype=torch.bool, device=device).tril(-1)[..., None]
        norms = torch.where(lower, H, 0).square().sum((0, 1)).sqrt()
        k = torch.arange(n - 1, device=device)
        H[0, k + 1, k], H[1, k + 1, k] = norms[:-1], 0
        z = hessenberg_eigenvalues(H)
        # the algorithm that finds them prefers an order, which the density does not know
        order = torch.rand((n, size), generator=generator, device=device).argsort(0)
        return z.gather(1, order.expand_as(z)).permute(2, 1, 0).contiguous().to(like.device)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln of the density; -inf where two coincide.  z (*batch, n, 2) -> (*batch,)."""
        return pairs.log_squares(z) - z.square().sum((-2, -1)) - self._log_norm


class Extended:
    """Positions from a base, momenta from independent standard normal distributions."""

    def __init__(self, positions: Base, momenta: int = 1) -> None:
        """For z of shape (size, n, 2 + 2 momenta), momenta after positions."""
        self.positions = positions
        self.parts = [positions, *[Gaussian(positions.n)] * momenta]
        self.n = positions.n

    def sample(self, size: int, generator: torch.Generator, like: Tensor) -> Tensor:
        """See `Base.sample`; z (size, n, 2 + 2 momenta)."""
        return torch.cat([base.sample(size, generator, like) for base in self.parts], dim=2)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln of the density.  z (*batch, n, 2 + 2 momenta) -> (*batch,)."""
        both = zip(self.parts, z.split(2, dim=-1), strict=True)
        return torch.stack([base.log_prob(part) for base, part in both]).sum(0)


BASES: dict[str, type[Gaussian] | type[Ginibre]] = {"gaussian": Gaussian, "ginibre": Ginibre}


def build(base: str, n: int) -> Base:
    """The base of that name for n electrons.

    Raises:
        ValueError: no base has that name.
    """
    if base not in BASES:
        raise ValueError(f"unknown base {base!r}; choose from {', '.join(BASES)}")
    return BASES[base](n)


def virial_size(system: System, z: Tensor) -> tuple[float, float]:
    """s for which s z obeys the virial theorem at T = 0, and the root mean square radius of s z.

    The theorem is degree <V> = <V_ee>; s is 1 if n is.

    Args:
        system: whose trap it is.
        z: (size, n, 2) samples of a base.
    """
    degree = TRAPS[system.trap].degree
    ratio = system.pair_energy(z).mean() / (degree * system.trap_energy(z).mean())
    scale = ratio.item() ** (1 / (degree + 1)) if system.n > 1 else 1.0
    return scale, scale * z.square().sum(2).mean().sqrt().item()
