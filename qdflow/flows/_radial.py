"""Convex functions of a distance that are smooth where it vanishes."""

from typing import Any, cast

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
        ramps, slope = _sigmoids(q, w[1:], self.c, d)
        f = (w[0] + v * h / 2 * (t + root) + ramps) / q
        second = v / 2 * (1 + t / root) + slope
        return f, (second - f) / q2

    def _softened(self, r2: Tensor) -> Tensor:
        """q^2."""
        return r2 + (2 * self.log_delta).exp()


def _sigmoids(q: Tensor, w: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """S = sum_k w_k sigmoid((q - c_k) / d_k), and dS/dq.  q (*batch,) -> (*batch,), both."""
    S, slope = cast(tuple[Tensor, Tensor], _Sigmoids.apply(q.flatten(), w, c, d))
    return S.view_as(q), slope.view_as(q)


class _Sigmoids(torch.autograd.Function):
    """In closed form, as a pass over all distances and ramps is what this flow's time goes into.

    Once differentiable.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, w: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        step = torch.addmm(-c / d, q.unsqueeze(1), 1 / d.unsqueeze(0)).sigmoid_()
        bump = torch.addcmul(step, step, step, value=-1)  # sigmoid'
        ctx.save_for_backward(q, w, c, d, step, bump)
        return step @ w, bump @ (w / d)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, w, c, d, step, bump = ctx.saved_tensors
        in_S, in_slope = grads
        bend = torch.addcmul(bump, bump, step, value=-2)  # sigmoid''
        in_q = in_S * (bump @ (w / d)) + in_slope * (bend @ (w / d**2))
        if not any(ctx.needs_input_grad[1:]):
            return in_q, None, None, None
        along = torch.stack([in_S, in_S * q, in_slope, in_slope * q], 1)
        steps, bumps, bends = (m.T @ along for m in (step, bump, bend))
        # of S the derivatives in q / d and in its slope's d, moved to each ramp's own centre
        first, first_q, second, _ = bumps.unbind(1)
        _, _, third, third_q = bends.unbind(1)
        in_w = steps[:, 0] + second / d
        in_c = -(w / d) * (first + third / d)
        in_d = -(w / d**2) * (first_q - c * first + second + (third_q - c * third) / d)
        return in_q, in_w, in_c, in_d
