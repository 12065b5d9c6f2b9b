"""The Hamiltonian H(x) = sum_i V(x_i) + sum_{i<j} 1/|x_i - x_j| of n electrons in two dimensions.

Lengths, energies and temperatures are in the units in which the trap's strength and the
electron's charge are 1 (Bedanov & Peeters, Phys. Rev. B 49, 2667 (1994)).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qdflow import checks, pairs
from qdflow.traps import TRAPS


@dataclass(frozen=True)
class System:
    """n electrons in a trap, whose name is that of a file in qdflow/traps/.

    Raises:
        ValueError: n is no number of electrons, or no trap has that name.
    """

    n: int
    trap: str = "harmonic"

    def __post_init__(self) -> None:
        """Refuse what is not a system."""
        checks.count(1, n=self.n)
        if self.trap not in TRAPS:
            raise ValueError(f"unknown trap {self.trap!r}; choose from {', '.join(TRAPS)}")

    def trap_energy(self, x: Tensor) -> Tensor:
        """sum_i V(x_i).  x (*batch, n, 2) -> (*batch,)."""
        return TRAPS[self.trap].potential(x[..., 0], x[..., 1]).sum(-1)

    def pair_energy(self, x: Tensor) -> Tensor:
        """sum_{i<j} 1/|x_i - x_j|, +inf where two coincide.  x (*batch, n, 2) -> (*batch,)."""
        return pairs.inverse_distances(x)

    def closest(self, x: Tensor) -> Tensor:
        """min_{i<j} |x_i - x_j|, +inf for one electron.  x (*batch, n, 2) -> (*batch,)."""
        if self.n == 1:
            return torch.full_like(x[..., 0, 0], torch.inf)
        return pairs.squares(x).amin(-1).sqrt()

    def energy(self, x: Tensor) -> Tensor:
        """H(x).  x (*batch, n, 2) -> (*batch,); +inf where two electrons coincide."""
        return self.trap_energy(x) + self.pair_energy(x)

    def forces(self, x: Tensor) -> Tensor:
        """-dH/dx.  x (*batch, n, 2) -> (*batch, n, 2).

        Two electrons at one point push each other in no direction: they contribute 0.
        """
        gradient = torch.stack(TRAPS[self.trap].gradient(x[..., 0], x[..., 1]), -1)
        apart = x[..., :, None, :] - x[..., None, :, :]
        r2 = apart.square().sum(-1, keepdim=True)
        push = torch.where(r2 > 0, apart * r2.rsqrt() / r2, 0)
        return push.sum(-2) - gradient

    def log_weight(self, x: Tensor, log_q: Tensor, beta: float) -> Tensor:
        """-beta H(x) - log_q, the log of an importance weight up to ln Z.  -> (*batch,)."""
        return -beta * self.energy(x) - log_q
