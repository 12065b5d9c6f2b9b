"""Convex functions of a distance that are smooth where it vanishes."""

import torch
from torch import Tensor, nn


class Radial(nn.Module):
    """phi(q), q = sqrt(r^2 + delta^2), of a vector's length r; phi is convex and rising.

    phi'(q) = w_0 + sum_k w_k sigmoid((q - c_k) / d_k) with positive weights: a linear function
    and softplus ramps. As q is convex in the vector, so is phi(q). Where r >> delta the slope
    starts at w_0; at r = 0 it vanishes, so that the gradient is smooth there.
    """

    def __init__(self, ramps: int, reach: float, linear: float, height: float, soft: float) -> None:
        """Ramps start evenly spaced.

        Args:
            ramps: how many.
            reach: distance that they cover.
            linear: initial w_0.
            height: initial sum of the other w.
            soft: initial delta.
        """
        super().__init__()
        spacing = reach / max(ramps, 1)
        w = torch.tensor([linear] + [height / max(ramps, 1)] * ramps, dtype=torch.float64)
        self.log_w = nn.Parameter(w.log())
        self.c = nn.Parameter(spacing * (torch.arange(ramps, dtype=torch.float64) + 0.5))
        self.log_d = nn.Parameter(torch.full_like(self.c, spacing / 2).log())
        self.log_delta = nn.Parameter(torch.tensor(soft, dtype=torch.float64).log())

    def forward(self, r2: Tensor) -> Tensor:
        """phi.  r^2 (*batch,) -> (*batch,)."""
        q = self._softened(r2).sqrt()
        w, d = self.log_w.exp(), self.log_d.exp()
        return w[0] * q + nn.functional.softplus((q.unsqueeze(-1) - self.c) / d) @ (w[1:] * d)

    def derivatives(self, r2: Tensor) -> tuple[Tensor, Tensor]:
        """f and g, (*batch,) each: at v the gradient is f v and the Hessian f I + g v v^T.

        f = phi' / q and g = (phi'' - f) / q^2.
        """
        q2 = self._softened(r2)
        q = q2.sqrt()
        w, d = self.log_w.exp(), self.log_d.exp()
        step = torch.sigmoid((q.unsqueeze(-1) - self.c) / d)
        f = (w[0] + step @ w[1:]) / q
        return f, ((step * (1 - step)) @ (w[1:] / d) - f) / q2

    def _softened(self, r2: Tensor) -> Tensor:
        """q^2."""
        return r2 + (2 * self.log_delta).exp()
