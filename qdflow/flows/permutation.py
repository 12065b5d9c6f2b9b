"""The talk's permutation-equivariant layers: [P, W] = 0 and P b = b."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from qdflow.bases import Gaussian
from qdflow.flows._dense import ACTIVATIONS, DenseFlow, truncated_normal
from qdflow.flows._options import Activation, NotNegative, Positive
from qdflow.flows.rotation import turning
from qdflow.system import System


class Permutation(DenseFlow):
    """W = I (x) lambda + 11^T (x) gamma and b = 1 (x) C: every electron is treated alike.

    Of the others an electron learns their sum in each channel, and no more: a mean field. In the
    talk's form every electron has its d = 2 channels throughout, and a layer d + 2 d^2 = 10
    parameters. Zaheer et al., Deep Sets (2017), lemma 3, has the same layer.

    Wider layers fold. Tied ones do not: x -> s x + W^T sigma(W x + b), s > 0, is the gradient of
    a strictly convex function, as sigma rises. Huang et al., Convex Potential Flows (2021), have
    such maps; here W commutes with permutations.
    """

    symmetry = "permutation"

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        channels: Sequence[Annotated[int, {"minimum": 2}]] = (2, 2),
        activation: Activation = "asinh",
        tied: bool = False,
        rotation: bool = False,
        weight_std: Positive = 0.05,
        bias_std: NotNegative = 0.3,
    ) -> None:
        """Each electron by itself starts near x = z, what it learns of the others near 0.

        Args:
            system: gives n.
            generator: of the initial parameters.
            channels: of each electron between the layers, or inside of tied ones; none below 2,
                and 2 throughout in the talk.
            activation: between the layers; with `rotation`, an odd one (tanh, asinh).
            tied: maps s x + W^T sigma(W x + b), which never fold, instead of layers, which do if
                wider than 2. One layer of the talk's comes last.
            rotation: whether the layers commute with quarter turns as well: lambda and gamma are
                made of blocks (a, b; -b, a), and C = 0. Takes an even number of channels.
            weight_std: of the noise on the initial weights; n times less on those of the others'
                sum.
            bias_std: of the initial biases, before they are cut at two standard deviations.
        """
        super().__init__()
        unit = 2 if rotation else 1
        self.base = Gaussian(system.n)
        self.activation = activation
        self.rotation = rotation
        if rotation:
            self.symmetry = "permutation+c4"
        if tied:
            self.claim = "gradients of strictly convex functions"
        elif max(channels, default=2) == 2:
            self.claim = "square layers and an injective activation"
        sizes = [c // unit for c in (2, *channels, 2)]
        pairs = [(i, sizes[0]) for i in sizes[1:]] if tied else [(o, i) for i, o in pairwise(sizes)]
        shapes = [((2, o, i) if rotation else (o, i)) for o, i in pairs]
        self.own = nn.ParameterList(_near_identity(s, weight_std, generator) for s in shapes)
        self.others = nn.ParameterList(
            truncated_normal(s, weight_std / system.n, generator) for s in shapes
        )
        self.biases = nn.ParameterList(
            truncated_normal((o,), bias_std, generator) for o, _ in pairs if not rotation
        )
        straight = torch.zeros(len(channels), dtype=torch.float64)
        self.log_s = nn.Parameter(straight) if tied else None

    def mapping(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `DenseFlow.mapping`; cost per sample O(n^2 channels^2)."""
        size, d = z.shape
        eye = torch.eye(d, dtype=z.dtype, device=z.device)
        # Each electron's channels, and their derivatives: (size, n, c) and (size, n, 2 n, c).
        a, tangent = z.unflatten(1, (-1, 2)), eye.view(1, d // 2, 2, d).mT
        *inner, (W, b) = self._layers()
        for k, (V, c) in enumerate(inner):
            h, slope = self._bent(_mix(a, V) + c)
            bent = slope.unsqueeze(2) * _mix(tangent, V)
            if self.log_s is None:
                a, tangent = h, bent
            else:
                s, back = self.log_s[k].exp(), [w.T for w in V]
                a, tangent = s * a + _mix(h, back), s * tangent + _mix(bent, back)
        x, jacobian = _mix(a, W) + b, _mix(tangent, W)
        return x.flatten(1), jacobian.mT.flatten(1, 2).expand(size, -1, -1)

    def _layers(self) -> Iterator[tuple[list[Tensor], Tensor | float]]:
        """(lambda, gamma) and C of each layer."""
        for k, pair in enumerate(zip(self.own, self.others, strict=True)):
            yield (
                [turning(ab) if self.rotation else ab for ab in pair],
                0.0 if self.rotation else self.biases[k],
            )

    def _bent(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """sigma(a) and sigma'(a)."""
        sigma, slope = ACTIVATIONS[self.activation]
        return sigma(a), slope(a)


def _mix(a: Tensor, W: Sequence[Tensor]) -> Tensor:
    """(I (x) lambda + 11^T (x) gamma) a, electrons in dimension 1, channels in the last."""
    own, others = W
    return a @ own.T + a.sum(1, keepdim=True) @ others.T


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


def impossible(_: int, options: Mapping[str, Any]) -> str:
    """Why no flow has these options; empty if one has. Known to the plan."""
    if options["rotation"]:
        if options["activation"] not in ("tanh", "asinh"):
            return f"activation is {options['activation']!r}; with rotation use tanh or asinh"
        if any(c % 2 for c in options["channels"]):
            return f"channels is {options['channels']}; with rotation use even numbers"
    return ""


build = Permutation
