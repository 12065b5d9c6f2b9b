"""The talk's flow: z -> sigma(W_1 z + b_1) -> ... -> x = W_k z_{k-1} + b_k."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows._dense import DenseFlow, network, passed, truncated_normal
from qdflow.flows._determinant import log_det
from qdflow.flows._options import Activation, NotNegative, Positive, Widths
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
        hidden: Widths = (64, 64),
        activation: Activation = "softplus",
        weight_std: Positive = 0.1,
        bias_std: NotNegative = 1.0,
    ) -> None:
        """Weights and biases start truncated normal, cut at two standard deviations.

        Args:
            system: gives n.
            generator: of the initial parameters.
            hidden: widths between the 2 n inputs and the 2 n outputs, none below 2 n.
            activation: between the layers.
            weight_std: of the initial weights, before they are cut at two standard deviations.
            bias_std: of the initial biases, before they are cut at two standard deviations.
        """
        super().__init__()
        width = 2 * system.n
        self.base = Gaussian(system.n)
        self.activation = activation
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
        layers = zip(self.weights, self.biases, strict=True)
        x, slopes = passed(z.flatten(1), layers, self.activation)
        return x.unflatten(1, (-1, 2)), *log_det([*self.weights], slopes)


def impossible(n: int, options: Mapping[str, Any]) -> str:
    """Why no flow of n electrons has these options; empty if one has. Known to the plan."""
    hidden, least = options["hidden"], 2 * n
    if hidden and min(hidden) < least:  # the determinant would vanish
        return f"hidden is {hidden}, but for {n} electrons use widths of at least {least}"
    return ""


build = MLP
