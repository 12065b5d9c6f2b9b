"""Densities of one number, normalised exactly whatever their parameters."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

LARGE = 30.0  # e^{30 - e^30} is 0 in any precision


class Weibulls(NamedTuple):
    """u = ln w, where w > 0 has a mixture of Weibull distributions.

    Near w = 0 a component of shape 1 / s goes like e^{u / s}: with s = 1 it is the exponential
    law of the gap between neighbours that do not interact.

    Attributes:
        log_weight: (*batch, components), of any normalisation.
        m: (*batch, components) the logarithms of the scales.
        log_s: (*batch, components) -ln of the shapes.
    """

    log_weight: Tensor
    m: Tensor
    log_s: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        """ln p(u) = ln sum_k pi_k e^{z - e^z} / s, z = (u - m) / s.  u (*batch) -> (*batch)."""
        z = ((u.unsqueeze(-1) - self.m) * (-self.log_s).exp()).clamp(max=LARGE)
        return (self.log_weight.log_softmax(-1) + z - z.exp() - self.log_s).logsumexp(-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """u (*batch), by the inverse of one component's distribution function."""
        k = categorical(self.log_weight, generator).unsqueeze(-1)
        m, s = self.m.gather(-1, k).squeeze(-1), self.log_s.gather(-1, k).squeeze(-1).exp()
        return m + s * torch.log(-torch.log1p(-uniform(m, generator)))


class Ring(NamedTuple):
    """An angle whose ln p is piecewise linear between equidistant nodes, and periodic.

    Attributes:
        log_p: (*batch, nodes) at the angles 2 pi m / nodes, up to a constant.
    """

    log_p: Tensor

    def log_prob(self, phi: Tensor) -> Tensor:
        """ln p(phi) for any real angle.  phi (*batch) -> (*batch)."""
        nodes = self.log_p.shape[-1]
        place = torch.remainder(phi * (nodes / (2 * math.pi)), nodes)
        cell = place.detach().floor().long() % nodes  # rounding can make it the last one's end
        left, right = self._ends(cell)
        at = left + (right - left) * (place - place.detach().floor())
        return at - self._log_mass().logsumexp(-1) - math.log(2 * math.pi / nodes)

    def sample(self, generator: torch.Generator) -> Tensor:
        """phi (*batch) in [0, 2 pi), by the inverse distribution function within a cell."""
        nodes = self.log_p.shape[-1]
        cell = categorical(self._log_mass(), generator)
        left, right = self._ends(cell)
        slope, v = right - left, uniform(left, generator)
        # ln(1 + v (e^slope - 1)) / slope, which is v where the slope vanishes
        flat = slope.abs() < 1e-6
        safe = torch.where(flat, 1.0, slope)
        inside = torch.where(
            safe > 0,
            1 + torch.log(v + (1 - v) * (-safe).exp()) / safe,
            torch.log1p(v * torch.expm1(safe)) / safe,
        )
        return (cell + torch.where(flat, v, inside)) * (2 * math.pi / nodes)

    def _ends(self, cell: Tensor) -> tuple[Tensor, Tensor]:
        nodes = self.log_p.shape[-1]
        left, right = (self.log_p.gather(-1, k.unsqueeze(-1)) for k in (cell, (cell + 1) % nodes))
        return left.squeeze(-1), right.squeeze(-1)

    def _log_mass(self) -> Tensor:
        """ln of the integral over each cell, in units of its width.  (*batch, nodes)."""
        right = self.log_p.roll(-1, -1)
        return 0.5 * (self.log_p + right) + log_sinhc(0.5 * (right - self.log_p))


def log_sinhc(x: Tensor) -> Tensor:
    """ln(sinh(x) / x), even and smooth."""
    small = x.abs() < 1e-2
    y = torch.where(small, 1.0, x.abs())
    square = torch.where(small, x, 0.0).square()
    large = y + torch.log1p(-torch.exp(-2 * y)) - torch.log(2 * y)
    return torch.where(small, square / 6 - square.square() / 180, large)


def categorical(log_weight: Tensor, generator: torch.Generator) -> Tensor:
    """An index with probability proportional to e^{log_weight}.  (*batch, k) -> (*batch)."""
    total = log_weight.softmax(-1).cumsum(-1)
    mark = uniform(total[..., :1], generator) * total[..., -1:]
    return torch.searchsorted(total, mark, right=True).squeeze(-1).clamp(max=total.shape[-1] - 1)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1) with the shape and dtype of ``like``, drawn where the generator lives."""
    device = generator.device
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=device).to(like)
