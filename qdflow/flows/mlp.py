"""The talk's flow: z -> sigma(W_1 z + b_1) -> ... -> x = W_k z_{k-1} + b_k."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows.base import Draw, Flow
from qdflow.inverse import newton
from qdflow.system import System

ACTIVATIONS = {  # sigma(a) and sigma'(a)
    "softplus": (nn.functional.softplus, torch.sigmoid),
    "tanh": (torch.tanh, lambda a: 1 - torch.tanh(a) ** 2),
    "asinh": (torch.asinh, lambda a: (1 + a**2).rsqrt()),
}


class InverseError(ArithmeticError):
    """Newton's method found no preimage of some configurations."""


class MLP(Flow):
    """A dense network from z to x with its full Jacobian.

    Nothing makes the map injective: its log_q is a log-density only where it is, which the sign
    of the determinant can refute and never prove. It is labelled: one relabelling of the
    electrons out of n! is all it has to cover.
    """

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        hidden: Sequence[int] = (64, 64),
        activation: str = "softplus",
        weight_std: float = 0.1,
        bias_std: float = 1.0,
    ) -> None:
        """Weights and biases start truncated normal, cut at two standard deviations.

        Args:
            system: gives n.
            generator: of the initial parameters.
            hidden: widths between the 2 n inputs and the 2 n outputs, none below 2 n.
            activation: a name in `ACTIVATIONS`.
            weight_std, bias_std: before the cut; defaults as in the talk's notebook.

        Raises:
            ValueError: a layer is narrower than 2 n, or the activation is unknown.
        """
        super().__init__()
        width = 2 * system.n
        if min(hidden, default=width) < width:
            raise ValueError(
                f"hidden layers {list(hidden)} are narrower than the {width} coordinates:"
                f" the determinant would vanish; use widths of at least {width}"
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation {activation!r}; choose from {', '.join(ACTIVATIONS)}"
            )
        self.base = Gaussian(system.n)
        self.activation = activation
        sizes = [width, *hidden, width]
        self.weights = nn.ParameterList(
            _truncated_normal((o, i), weight_std, generator) for i, o in pairwise(sizes)
        )
        self.biases = nn.ParameterList(
            _truncated_normal((o,), bias_std, generator) for o in sizes[1:]
        )

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x (size, 2n) and dx/dz (size, 2n, 2n) at z (size, 2n).

        The Jacobian W_k D_{k-1} W_{k-1} ... D_1 W_1, D = diag(sigma'), is built from the input
        side and transposed, so that each factor is one large matrix product.
        """
        sigma, slope = ACTIVATIONS[self.activation]
        h, transposed = z, torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        last = len(self.weights) - 1
        for k, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            a = nn.functional.linear(h, W, b)
            transposed = transposed @ W.T
            h = a if k == last else sigma(a)
            if k != last:
                transposed = transposed * slope(a).unsqueeze(1)
        return h, transposed.expand(len(z), -1, -1).mT

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """Independent samples; cost per sample O(n width^2) and one 2n x 2n determinant."""
        z = self.base.sample(size, generator, like=self.weights[0])
        x, jacobian = self.mapping(z.flatten(1))
        sign, ladj = torch.linalg.slogdet(jacobian)
        return Draw(x.unflatten(1, (-1, 2)), self.base.log_prob(z) - ladj, sign)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x) by a numerical inverse.  x (size, n, 2) -> (size,).  Slow: ~1 ms a row.

        One preimage is found. Where the map folds there are others, and ln q is larger. The
        result is differentiable in x and in the parameters.

        Raises:
            InverseError: a row has no preimage, or Newton's method did not find it.
        """
        target = x.flatten(1)
        with torch.no_grad():
            tolerance = math.sqrt(torch.finfo(x.dtype).eps) * 1e-2
            z, solved = newton(self.mapping, target, self._start(target), tolerance)
        if not solved.all():
            raise InverseError(
                f"no preimage found for {int((~solved).sum())} of {len(x)} configurations; a"
                " labelled flow covers one relabelling of each: sort the electrons its way first"
            )
        # One more Newton step, whose derivative is that of the inverse: d z = J^-1 (d x - d f).
        image, jacobian = self.mapping(z)
        step = torch.linalg.solve(jacobian.detach(), (image - target).unsqueeze(-1))
        z = z - step.squeeze(-1)
        _, jacobian = self.mapping(z)
        ladj = torch.linalg.slogdet(jacobian).logabsdet
        return self.base.log_prob(z.unflatten(1, (-1, 2))) - ladj

    def _start(self, x: Tensor) -> Tensor:
        """The z, among 4096 of the base, whose image is nearest to x."""
        generator = torch.Generator().manual_seed(0)  # starts need no independence
        z = self.base.sample(4096, generator, like=self.weights[0]).flatten(1)
        return z[torch.cdist(x, self.mapping(z)[0]).argmin(1)]


def build(system: System, generator: torch.Generator, **options: object) -> MLP:
    """See `MLP` for the options."""
    return MLP(system, generator, **options)  # pyright: ignore[reportArgumentType]


def _truncated_normal(
    shape: tuple[int, ...], std: float, generator: torch.Generator
) -> nn.Parameter:
    values = torch.empty(shape, dtype=torch.float64)
    nn.init.trunc_normal_(values, 0.0, 1.0, -2.0, 2.0, generator=generator)
    return nn.Parameter(std * values)
