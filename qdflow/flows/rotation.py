"""The talk's rotation-equivariant layers: [R, W] = 0 and b = 0."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows._dense import ODD, DenseFlow, known_activation, network, truncated_normal
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
        hidden: Sequence[int] = (32, 32),
        activation: str = "asinh",
        weight_std: float = 0.1,
        leader_std: float = 2.0,
    ) -> None:
        """Blocks start truncated normal, cut at two standard deviations.

        Args:
            system: gives n.
            generator: of the initial parameters.
            hidden: widths in vectors of the plane, none below n.
            activation: an odd one, in `ODD`.
            weight_std: of a and b, before the cut.
            leader_std: the same for what the first layer takes from the first vector of z.

        Raises:
            ValueError: a layer holds fewer than n vectors, or the activation is not odd.
        """
        super().__init__()
        n = system.n
        if min(hidden, default=n) < n:
            raise ValueError(
                f"hidden layers {list(hidden)} hold fewer vectors than the {n} electrons:"
                f" the determinant would vanish; use widths of at least {n}"
            )
        self.base = Gaussian(n)
        self.activation = known_activation(activation, ODD)
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


build = Rotation
