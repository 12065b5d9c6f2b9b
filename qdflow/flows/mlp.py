"""The talk's flow: z -> sigma(W_1 z + b_1) -> ... -> x = W_k z_{k-1} + b_k."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows._dense import ACTIVATIONS, DenseFlow, known_activation, network, truncated_normal
from qdflow.flows._determinant import log_det
from qdflow.system import System


class MLP(DenseFlow):
    """A dense network from z to x with its full Jacobian.

    It is labelled: one relabelling of the electrons out of n! is all it has to cover. If all
    layers are 2 n wide it is injective, as its weights and activations are; wider ones may fold.
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
        self.base = Gaussian(system.n)
        self.activation = known_activation(activation)
        if max(hidden, default=width) == width:
            self.claim = "square layers and an injective activation"
        sizes = [width, *hidden, width]
        self.weights = nn.ParameterList(
            truncated_normal((o, i), weight_std, generator) for i, o in pairwise(sizes)
        )
        self.biases = nn.ParameterList(
            truncated_normal((o,), bias_std, generator) for o in sizes[1:]
        )

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `DenseFlow.mapping`; cost per sample O(n width^2)."""
        return network(z, zip(self.weights, self.biases, strict=True), self.activation)

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `DenseFlow.transform`; the same without the Jacobian, several times as fast."""
        if len(self.weights) == 1 or z.device.type != "cpu":
            return super().transform(z)
        sigma, slope = ACTIVATIONS[self.activation]
        x, slopes = z.flatten(1), []
        for k, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            if k:
                slopes.append(slope(x))
                x = sigma(x)
            x = nn.functional.linear(x, W, b)
        return x.unflatten(1, (-1, 2)), *log_det([*self.weights], slopes)


build = MLP
