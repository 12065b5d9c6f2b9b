"""Convex functions of a distance that are smooth where it vanishes."""

import torch
from torch import Tensor, nn


class Radial(nn.Module):
    """phi(q), q = sqrt(r^2 + delta^2), of a vector's length r; phi is convex and rising.

    phi'(q) = w_0 + v h (t + sqrt(1 + t^2)) / 2 + sum_k w_k sigmoid((q - c_k) / d_k) with t =
    (q - e) / h and positive weights: a linear function, a parabola that sets in near q = e, and
    softplus ramps. As q is convex in the vector, so is phi(q). Where r >> delta the slope starts
    at w_0; at r = 0 it vanishes, so that the gradient is smooth there.
    """

    def __init__(
        self,
        ramps: int,
        reach: float,
        linear: float,
        curvature: float,
        edge: float,
        height: float,
        soft: float,
    ) -> None:
        """Ramps start evenly spaced.

        Args:
            ramps: how many.
            reach: distance that they cover.
            linear: initial w_0.
            curvature: initial v.
            edge: initial e, and four times the initial h.
            height: initial sum of the other w.
            soft: initial delta.
        """
        super().__init__()
        spacing = reach / ramps

        def logarithm(*values: float) -> nn.Parameter:
            return nn.Parameter(torch.tensor(values, dtype=torch.float64).log())

        self.log_w = logarithm(linear, *[height / ramps] * ramps)
        self.c = nn.Parameter(spacing * (torch.arange(ramps, dtype=torch.float64) + 0.5))
        self.log_d = logarithm(*[spacing / 2] * ramps)
        self.log_v = logarithm(curvature)
        self.e = nn.Parameter(torch.tensor([edge], dtype=torch.float64))
        self.log_h = logarithm(edge / 4)
        self.log_delta = logarithm(soft)

    def forward(self, r2: Tensor) -> Tensor:
        """phi.  r^2 (*batch,) -> (*batch,)."""
        q = self._softened(r2).sqrt()
        w, d, v, h = (log.exp() for log in (self.log_w, self.log_d, self.log_v, self.log_h))
        t = (q - self.e) / h
        parabola = v * h**2 * (t * (t + (1 + t * t).sqrt()) + torch.asinh(t)) / 4
        ramps = nn.functional.softplus((q.unsqueeze(-1) - self.c) / d) @ (w[1:] * d)
        return w[0] * q + parabola + ramps

    def derivatives(self, r2: Tensor) -> tuple[Tensor, Tensor]:
        """f and g, (*batch,) each: at x the gradient is f x and the Hessian f I + g x x^T.

        f = phi' / q and g = (phi'' - f) / q^2.
        """
        q2 = self._softened(r2)
        q = q2.sqrt()
        w, d, v, h = (log.exp() for log in (self.log_w, self.log_d, self.log_v, self.log_h))
        t = (q - self.e) / h
        root = (1 + t * t).sqrt()
        step = torch.sigmoid((q.unsqueeze(-1) - self.c) / d)
        f = (w[0] + v * h / 2 * (t + root) + step @ w[1:]) / q
        second = v / 2 * (1 + t / root) + (step * (1 - step)) @ (w[1:] / d)
        return f, (second - f) / q2

    def _softened(self, r2: Tensor) -> Tensor:
        """q^2."""
        return r2 + (2 * self.log_delta).exp()
