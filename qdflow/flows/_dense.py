"""What flows share that write out their full Jacobian."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from qdflow.flows._determinant import log_dets
from qdflow.flows.base import Flow
from qdflow.inverse import continued, newton

ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    # sigma(a) and sigma'(a)
    "softplus": (nn.functional.softplus, torch.sigmoid),
    "tanh": (torch.tanh, lambda a: 1 - torch.tanh(a) ** 2),
    "asinh": (torch.asinh, lambda a: (1 + a**2).rsqrt()),
}


class InverseError(ArithmeticError):
    """Newton's method found no preimage of some configurations."""


class DenseFlow(Flow):
    """A map with its full Jacobian, whose inverse is numerical.

    Nothing makes such a map injective, unless its class says so: its log_q is a log-density only
    where it is, which the sign of the determinant can refute and never prove.
    """

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x (size, 2n) and dx/dz (size, 2n, 2n) at z (size, 2n)."""
        raise NotImplementedError

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`; one 2n x 2n determinant per sample."""
        x, jacobian = self.mapping(z.flatten(1))
        ladj, sign = log_dets(jacobian)
        return x.unflatten(1, (-1, 2)), ladj, sign

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x) by a numerical inverse.  x (size, n, 2) -> (size,).  Slow: ~1 ms a row.

        One preimage is found. Where the map folds there are others, and ln q is larger. The
        result is differentiable in x and in the parameters.

        Raises:
            InverseError: a row has no preimage, or Newton's method did not find it.
        """
        target = x.flatten(1)
        z, solved = self._preimage(target)
        if not solved.all():
            raise InverseError(
                f"no preimage found for {int((~solved).sum())} of {len(x)} configurations; a"
                " labelled flow covers one relabelling of each: sort the electrons its way first"
            )
        # One more Newton step, whose derivative is that of the inverse: d z = J^-1 (d x - d f).
        image, jacobian = self.mapping(z)
        step = torch.linalg.solve(jacobian.detach(), (image - target).unsqueeze(-1))
        return self._log_q(z - step.squeeze(-1))

    @torch.no_grad()
    def located(self, x: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Flow.located`."""
        z, solved = self._preimage(x.flatten(1))
        return torch.where(solved, self._log_q(z), -torch.inf)

    def _log_q(self, z: Tensor) -> Tensor:
        z = z.unflatten(1, (-1, 2))
        return self.base.log_prob(z) - self.transform(z)[1]

    @torch.no_grad()
    def _preimage(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """z (size, 2n) of targets of that shape, and (size,) where one was found."""
        tolerance = math.sqrt(torch.finfo(target.dtype).eps) * 1e-2
        start = self._start(target)
        z, solved = newton(self.mapping, target, start, tolerance)
        left = ~solved
        if left.any():
            z[left], solved[left] = continued(self.mapping, target[left], start[left], tolerance)
        return z, solved

    def _start(self, x: Tensor) -> Tensor:
        """The z, among 4096 of the base, whose image is nearest to x."""
        generator = torch.Generator().manual_seed(0)  # starts need no independence
        z = self.base.sample(4096, generator, like=x).flatten(1)
        return z[torch.cdist(x, self.mapping(z)[0]).argmin(1)]


def network(
    z: Tensor, layers: Iterable[tuple[Tensor, Tensor | None]], activation: str
) -> tuple[Tensor, Tensor]:
    """W_k sigma(... sigma(W_1 z + b_1) ...) + b_k and its Jacobian, at z (size, d).

    The Jacobian W_k D_{k-1} W_{k-1} ... D_1 W_1, D = diag(sigma'), is built from the input
    side and transposed, so that each factor is one large matrix product.

    Returns:
        (size, d') and (size, d', d).
    """
    layers = list(layers)
    out, slopes = passed(z, layers, activation)
    transposed = torch.eye(z.shape[1], dtype=z.dtype, device=z.device) @ layers[0][0].T
    for (W, _), d in zip(layers[1:], slopes, strict=True):
        transposed = (transposed * d.unsqueeze(1)) @ W.T
    return out, transposed.expand(len(z), -1, -1).mT


def passed(
    z: Tensor, layers: Iterable[tuple[Tensor, Tensor | None]], activation: str
) -> tuple[Tensor, list[Tensor]]:
    """W_k sigma(... sigma(W_1 z + b_1) ...) + b_k, and sigma' between the layers.

    z (size, d) -> (size, d') and (size, width) of each layer but the last.
    """
    sigma, slope = ACTIVATIONS[activation]
    a, slopes = z, []
    for k, (W, b) in enumerate(layers):
        if k:
            slopes.append(slope(a))
            a = sigma(a)
        a = nn.functional.linear(a, W, b)
    return a, slopes


def truncated_normal(
    shape: tuple[int, ...], std: float, generator: torch.Generator
) -> nn.Parameter:
    """Normal numbers cut at two standard deviations, as a parameter in float64."""
    values = torch.empty(shape, dtype=torch.float64)
    nn.init.trunc_normal_(values, 0.0, 1.0, -2.0, 2.0, generator=generator)
    return nn.Parameter(std * values)
