"""What z is drawn from."""

import math

import torch
from torch import Tensor


class Gaussian:
    """Independent standard normal coordinates of n electrons."""

    def __init__(self, n: int) -> None:
        """For z of shape (size, n, 2)."""
        self.n = n

    def sample(self, size: int, generator: torch.Generator, like: Tensor) -> Tensor:
        """z (size, n, 2), with the dtype of ``like`` and on its device.

        Drawn where the generator lives: a CPU generator gives the same z for every device.
        """
        shape = (size, self.n, 2)
        z = torch.randn(shape, generator=generator, dtype=like.dtype, device=generator.device)
        return z.to(like.device)

    def log_prob(self, z: Tensor) -> Tensor:
        """ln N(z; 0, 1).  z (*batch, n, 2) -> (*batch,)."""
        return -0.5 * z.square().sum((-2, -1)) - self.n * math.log(2 * math.pi)
