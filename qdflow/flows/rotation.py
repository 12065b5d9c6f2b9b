"""The talk's rotation-equivariant layers: [R, W] = 0 and b = 0."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows._dense import DenseFlow, network, truncated_normal
from qdflow.flows._options import OddActivation, Positive, Widths
from qdflow.system import System


class Rotation(DenseFlow):
    """Layers whose weights are 2 x 2 blocks (a, b; -b, a), which commute with every rotation.

    A pointwise activation does not: it acts on x and y apart. An odd one commutes with the
    quarter turn (x, y) -> (-y, x), and with no other rotation. So the symmetry of the density is
    C4, exactly, and not that of the circle. It is labelled, as `MLP` is.

    Without biases no electron has a place of its own: x = 0 is the image of z = 0. What tells the
    turned images of a configuration apart can only be z; so that one direction takes on that role,
    the weights of the first vector of z start larger than the others.
    """

    symmetry = "c4"

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        hidden: Widths = (32, 32),
        activation: OddActivation = "asinh",
        weight_std: Positive = 0.1,
        leader_std: Positive = 2.0,
    ) -> None:
        """Blocks start truncated normal, cut at two standard deviations.

        Args:
            system: gives n.
            generator: of the initial parameters.
            hidden: widths between the layers in vectors of the plane, none below n.
            activation: between the layers; an odd one, or quarter turns are no symmetry.
            weight_std: of the initial weights, before they are cut at two standard deviations.
            leader_std: of those that multiply the first vector of z.
        """
        super().__init__()
        n = system.n
        self.base = Gaussian(n)
        self.activation = activation
        if max(hidden, default=n) == n:
            self.claim = "square layers and an injective activation"
        self.blocks = nn.ParameterList(
            truncated_normal((2, o, i), weight_std, generator) for i, o in pairwise([n, *hidden, n])
        )
        self.blocks[0].data[..., 0] *= leader_std / weight_std

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `DenseFlow.mapping`; cost per sample O(n width^2)."""
        return network(z, ((turning(ab), None) for ab in self.blocks), self.activation)


def turning(ab: Tensor) -> Tensor:
    """The matrix of 2 x 2 blocks (a, b; -b, a).  ab (2, out, in) -> (2 out, 2 in)."""
    a, b = ab
    rows = torch.stack([torch.stack([a, b], -1), torch.stack([-b, a], -1)], 1)
    return rows.reshape(2 * a.shape[0], 2 * a.shape[1])


def impossible(n: int, options: Mapping[str, Any]) -> str:
    """Why no flow of n electrons has these options; empty if one has. Known to the plan."""
    hidden = options["hidden"]
    if hidden and min(hidden) < n:  # the determinant would vanish
        return f"hidden is {hidden}, but for {n} electrons use widths of at least {n}"
    return ""


build = Rotation
