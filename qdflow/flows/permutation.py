"""The talk's permutation-equivariant layers: [P, W] = 0 and P b = b."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows._dense import (
    ACTIVATIONS,
    ODD,
    DenseFlow,
    known_activation,
    truncated_normal,
)
from qdflow.flows.rotation import turning
from qdflow.system import System


class Permutation(DenseFlow):
    """W = I (x) lambda + 11^T (x) gamma and b = 1 (x) C: every electron is treated alike.

    Of the others an electron learns their sum in each channel, and no more: a mean field. In the
    talk's form every electron has its d = 2 channels throughout, and a layer d + 2 d^2 = 10
    parameters. Zaheer et al., Deep Sets (2017), lemma 3, has the same layer.
    """

    symmetry = "permutation"

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        channels: Sequence[int] = (2, 2),
        activation: str = "asinh",
        rotation: bool = False,
        weight_std: float = 0.05,
        bias_std: float = 0.3,
    ) -> None:
        """Each electron by itself starts near x = z, what it learns of the others near 0.

        Args:
            system: gives n.
            generator: of the initial parameters.
            channels: of each electron between the layers, 2 throughout in the talk's form.
            activation: a name in `ACTIVATIONS`.
            rotation: lambda and gamma of blocks (a, b; -b, a) and C = 0, so that the density has
                C4 as well. Takes an odd activation and an even number of channels.
            weight_std: of the noise on the initial weights; of gamma, n times less.
            bias_std: of the initial biases.

        Raises:
            ValueError: fewer than two channels, an odd number of them with ``rotation``, or an
                unknown activation.
        """
        super().__init__()
        unit = 2 if rotation else 1
        if any(c < 2 or c % unit for c in channels):
            raise ValueError(
                f"channels {list(channels)} must be at least 2, or the determinant would vanish,"
                " and even with rotation"
            )
        self.base = Gaussian(system.n)
        self.activation = known_activation(activation, ODD if rotation else ACTIVATIONS)
        self.rotation = rotation
        if rotation:
            self.symmetry = "permutation+c4"
        if max(channels, default=2) == 2:
            self.claim = "square layers and an injective activation"
        sizes = [c // unit for c in (2, *channels, 2)]
        shapes = [((2, o, i) if rotation else (o, i)) for i, o in pairwise(sizes)]
        self.own = nn.ParameterList(_near_identity(s, weight_std, generator) for s in shapes)
        self.others = nn.ParameterList(
            truncated_normal(s, weight_std / system.n, generator) for s in shapes
        )
        self.biases = nn.ParameterList(
            truncated_normal((o,), bias_std, generator) for o in sizes[1:] if not rotation
        )

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `DenseFlow.mapping`; cost per sample O(n^2 channels^2)."""
        sigma, slope = ACTIVATIONS[self.activation]
        size, d = z.shape
        a = z.unflatten(1, (-1, 2))  # (size, n, channels)
        eye = torch.eye(d, dtype=z.dtype, device=z.device)
        tangent = eye.view(1, d // 2, 2, d).mT  # of a: (size, n, 2 n, channels)
        matrices = zip(self._matrices(self.own), self._matrices(self.others), strict=True)
        for k, (own, others) in enumerate(matrices):
            if k:
                tangent = tangent * slope(a).unsqueeze(2)
                a = sigma(a)
            a = a @ own.T + a.sum(1, keepdim=True) @ others.T
            tangent = tangent @ own.T + tangent.sum(1, keepdim=True) @ others.T
            if not self.rotation:
                a = a + self.biases[k]
        return a.flatten(1), tangent.mT.flatten(1, 2).expand(size, -1, -1)

    def _matrices(self, parameters: nn.ParameterList) -> list[Tensor]:
        return [turning(ab) if self.rotation else ab for ab in parameters]


def _near_identity(
    shape: tuple[int, ...], noise: float, generator: torch.Generator
) -> nn.Parameter:
    """Ones on the diagonal, or its repetition in a matrix that is not square, with noise.

    Of the two planes of a rotation's blocks only that of a is near the identity.
    """
    start = truncated_normal(shape, noise, generator)
    *_, rows, columns = shape
    plane = start.data[0] if len(shape) == 3 else start.data
    index = torch.arange(max(rows, columns))
    plane[index % rows, index % columns] += (min(rows, columns) / max(rows, columns)) ** 0.5
    return start


build = Permutation
