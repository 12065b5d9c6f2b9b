"""Gradients of convex pair potentials: exact symmetries of the dot, and nothing folds."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from qdflow import bases
from qdflow.flows._dense import InverseError
from qdflow.flows._determinant import log_dets
from qdflow.flows._options import BaseName, Count
from qdflow.flows._radial import Radial
from qdflow.flows.base import Flow
from qdflow.inverse import convex_newton
from qdflow.symmetry import GROUPS
from qdflow.system import TRAPS, System

CONTRACTION = 0.1  # initial s of a layer, roughly
PIECE = 1_000_000  # pairs of electrons in memory at a time, all samples together
LINES = 8  # through the centre of an anisotropic trap


class Convex(Flow):
    """Layers x -> s grad Psi(x), where Psi is a strictly convex sum over electrons and pairs.

    Psi(x) = sum_i A(x_i) + sum_{i<j} B(|x_i - x_j|) + a positive quadratic form. A strictly
    convex function has an injective gradient (Huang et al., Convex Potential Flows (2021)); and
    as its Hessian is nowhere smaller than a fixed multiple of 1, every x has a preimage, which is
    the minimum of Psi(z) - x z: the map is a bijection of R^{2n}, ln q a log-density, and the
    inverse a convex problem. Psi knows no labels, and neither does the base.

    A is a convex function of |x|. In an anisotropic trap, convex functions of |w x| are added, for
    unit vectors w that the group of the trap takes to each other. They ask nothing of V, which
    need not be convex: the quartic one is not.

    B pushes two electrons apart as soon as they are farther from each other than its softening:
    that opens the Coulomb hole. A softening of 0 would leave the hole without any preimage, where
    ln q is minus infinity; as it is, ln q is finite there, and very small.

    The push of a convex B never falls with distance. What falls is the push less what s < 1 takes
    away, by at most a slope of (1 - s) / n: so layers contract much, and their B grow as parabolas
    beyond a hole, which puts the distant electrons back.
    """

    claim = "gradients of strictly convex functions"
    symmetry = "permutation"  # and that of the trap
    exact_log_prob = True
    exact_inverse = True

    def __init__(
        self,
        system: System,
        generator: torch.Generator,
        base: BaseName = "ginibre",
        layers: Count = 6,
        ramps: Count = 8,
    ) -> None:
        """Layers that open holes and keep the size, which is that of the virial theorem at T = 0.

        Args:
            system: gives n and, by its trap, the size of the dot.
            generator: of the samples of the base that are measured for it.
            base: what z is drawn from: normal numbers, or eigenvalues of random matrices.
            layers: gradients of convex functions, one after the other.
            ramps: of the function of a distance, each for one and for two electrons, a layer.
        """
        super().__init__()
        group = TRAPS[system.trap].group
        self.symmetry = f"permutation+{group}"
        self.base = bases.build(base, system.n)
        z = self.base.sample(
            min(500, _piece(system.n)), generator, torch.zeros((), dtype=torch.float64)
        )
        scale, radius = bases.virial_size(system, z)
        self.log_s = nn.Parameter(torch.tensor(scale, dtype=torch.float64).log())
        orbits = _orbits(group)
        self.layers = nn.ModuleList(_Layer(system.n, radius, ramps, orbits) for _ in range(layers))
        with torch.no_grad():
            y = scale * z.mT
            for layer in self.layers:
                y = cast(_Layer, layer).keep_size(y)

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Flow.transform`; a Cholesky factor of 2n x 2n and n^2 ramps a layer and sample.

        Memory is bounded by `PIECE`: where there are more pairs, what a gradient needs is not kept
        but computed a second time, piece by piece.
        """
        x, ladj = _in_pieces(self._forward, z)
        return x, ladj, torch.ones_like(ladj)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x), exact for every x.  x (size, n, 2) -> (size,).

        Raises:
            InverseError: rounding, or an x that is no number, kept a minimum from being found.
        """
        z, ladj = _in_pieces(self._inverse, x)
        return self.base.log_prob(z) - ladj

    def inverse(self, x: Tensor) -> Tensor:
        """See `Flow.inverse`."""
        return _in_pieces(self._inverse, x)[0]

    def _forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        y, ladj = self.log_s.exp() * z.mT, 2 * self.base.n * self.log_s
        for layer in self.layers:
            y, more = layer(y)
            ladj = ladj + more
        return y.mT, ladj

    def _inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and ln |det dx/dz| there."""
        y, ladj = x.mT, 2 * self.base.n * self.log_s
        for layer in reversed(self.layers):
            y = cast(_Layer, layer).inverse(y)
            ladj = ladj + layer(y)[1]
        return y.mT / self.log_s.exp(), ladj


def _piece(n: int) -> int:
    """Samples that are in memory at a time."""
    return max(1, PIECE // n**2)


def _in_pieces(
    mapping: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor
) -> tuple[Tensor, Tensor]:
    """The mapping of x (size, n, 2), of which only one piece is worked on at a time."""
    pieces = x.split(_piece(x.shape[1]))
    if len(pieces) == 1:
        return mapping(x)
    done = [checkpoint(mapping, piece, use_reentrant=False) for piece in pieces]
    one, two = (torch.cat(parts) for parts in zip(*done, strict=True))
    return one, two


class _Layer(nn.Module):
    """y -> s grad Psi(y); y (size, 2, n) holds the first coordinates, then the second.

    The quadratic form of Psi is sum_i |y_i - Y|^2 / 2 + n m |Y|^2 / 2, Y the centre of mass.
    """

    def __init__(self, n: int, radius: float, ramps: int, orbits: list[Tensor]) -> None:
        super().__init__()
        self.n = n
        # with this curvature a pair beyond the edge stays where it is, but for a shift, if s is
        # CONTRACTION; closer ones are pushed apart. The other numbers are from trainings at n = 20
        curvature, edge = (1 / CONTRACTION - 1) / n, 0.7 * radius
        self.A = _of_one(radius, ramps, height=0.1 / CONTRACTION)
        self.B = Radial(
            ramps,
            reach=2.5 * radius,
            linear=curvature * edge,
            curvature=curvature,
            edge=edge,
            height=0.2 / n / CONTRACTION,
            soft=0.03 * radius,
        )
        self.lines = nn.ModuleList(_Lines(w, radius, ramps) for w in orbits)
        self.log_s = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.log_m = nn.Parameter(torch.tensor(-math.log(CONTRACTION), dtype=torch.float64))
        # an electron makes a pair with itself, too, whose terms are 0 or cancel
        i, j = torch.triu_indices(n, n)
        pair = torch.zeros(n, n, dtype=torch.long)
        pair[i, j] = pair[j, i] = torch.arange(len(i))
        for name, index in (("i", i), ("j", j), ("pair", pair.flatten())):
            self.register_buffer(name, index, persistent=False)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The image (size, 2, n) and ladj (size,)."""
        gradient, hessian = self.derivatives(y)
        return self.log_s.exp() * gradient, log_dets(hessian)[0] + 2 * self.n * self.log_s

    def inverse(self, x: Tensor) -> Tensor:
        """y with forward(y) = x, differentiable.  x (size, 2, n) -> (size, 2, n).

        The derivative is that of one Newton step from there: d y = H^-1 (d x / s - d grad Psi).
        """
        x = x * (-self.log_s).exp()
        with torch.no_grad():
            tolerance = 0.1 * math.sqrt(torch.finfo(x.dtype).eps)
            y, solved = convex_newton(self._potential, self._flat, x.flatten(1), tolerance)
        if not solved.all():
            raise InverseError(
                f"the minimum that is the preimage was not found for {int((~solved).sum())} of"
                f" {len(x)} configurations; in {x.dtype} they may be too far away"
            )
        gradient, hessian = self._flat(y)
        L = torch.linalg.cholesky(hessian.detach())
        step = torch.cholesky_solve((gradient - x.flatten(1)).unsqueeze(-1), L)
        return (y - step.squeeze(-1)).unflatten(1, (2, -1))

    def potential(self, y: Tensor) -> Tensor:
        """Psi.  y (size, 2, n) -> (size,)."""
        i, j = torch.triu_indices(self.n, self.n, 1, device=y.device)
        pairs = self.B((y[..., i] - y[..., j]).square().sum(1)).sum(1)
        Y2 = self.n * y.mean(2).square().sum(1)
        own = self.A(y.square().sum(1)).sum(1)
        for lines in self.lines:
            own = own + lines(y)
        return (y.square().sum((1, 2)) + (self.log_m.exp() - 1) * Y2) / 2 + own + pairs

    def derivatives(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """grad Psi (size, 2, n) and its Jacobian (size, 2n, 2n) at y (size, 2, n)."""
        i, j, pair = (self.get_buffer(name) for name in ("i", "j", "pair"))
        fA, gA = self.A.derivatives(y.square().sum(1))
        apart = y.index_select(2, i) - y.index_select(2, j)
        f, g = (
            t.index_select(1, pair).unflatten(1, (self.n, self.n))
            for t in self.B.derivatives(apart.square().sum(1))
        )
        own, centre = 1 + fA + f.sum(2), self.log_m.exp() - 1
        gradient = own.unsqueeze(1) * y - y @ f + centre * y.mean(2, keepdim=True)
        bend = (gA.unsqueeze(1) * y).unsqueeze(1) * y.unsqueeze(2)
        for lines in self.lines:
            slope, more = cast(_Lines, lines).derivatives(y)
            gradient, bend = gradient + slope, bend + more
        return gradient, _blocks(y, own, bend, f - centre / self.n, g)

    def keep_size(self, y: Tensor) -> Tensor:
        """The image, after s is set such that it has the mean square radius of y."""
        image = self.derivatives(y)[0]
        self.log_s.copy_((y.square().mean() / image.square().mean()).log() / 2)
        return self.log_s.exp() * image

    def _potential(self, y: Tensor) -> Tensor:
        return self.potential(y.unflatten(1, (2, -1)))

    def _flat(self, y: Tensor) -> tuple[Tensor, Tensor]:
        gradient, hessian = self.derivatives(y.unflatten(1, (2, -1)))
        return gradient.flatten(1), hessian


class _Lines(nn.Module):
    """sum_i sum_w phi(|w y_i|) over unit vectors w (lines, 2), phi convex and rising."""

    def __init__(self, w: Tensor, radius: float, ramps: int) -> None:
        super().__init__()
        self.register_buffer("w", w, persistent=False)
        # a tenth of this height is slow to grow
        self.phi = _of_one(radius, ramps, height=2 / CONTRACTION / LINES)

    def forward(self, y: Tensor) -> Tensor:
        """The sum.  y (size, 2, n) -> (size,)."""
        return self.phi((self.get_buffer("w") @ y).square()).sum((1, 2))

    def derivatives(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient (size, 2, n), and the Hessian of each electron (size, 2, 2, n)."""
        w = self.get_buffer("w")
        along = w @ y
        f, g = self.phi.derivatives(along.square())
        bend = torch.einsum("ka,kb,ski->sabi", w, w, f + g * along.square())
        return w.T @ (f * along), bend


def _of_one(radius: float, ramps: int, height: float) -> Radial:
    """A convex function of one electron's distance from the centre, or along a line."""
    return Radial(
        ramps,
        reach=1.6 * radius,
        linear=0.002 / CONTRACTION,
        curvature=0.001 / CONTRACTION,
        edge=radius,
        height=height,
        soft=0.1 * radius,
    )


def _orbits(group: str) -> list[Tensor]:
    """`LINES` even directions (lines, 2), those together that the group takes to each other."""
    if group == "o2":
        return []
    angle = math.pi / LINES * torch.arange(LINES, dtype=torch.float64)
    w = torch.stack([angle.cos(), angle.sin()], 1)
    images = torch.einsum("gab,kb,la->gkl", GROUPS[group], w, w).abs()
    first = images.argmax(2).amin(0)
    return [w[first == k] for k in first.unique()]


def _blocks(y: Tensor, own: Tensor, bend: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """The Hessian (size, 2n, 2n): blocks of electrons for each two of the coordinates.

    Args:
        y: (size, 2, n).
        own: (size, n), what multiplies each electron's own coordinates in the gradient.
        bend: (size, 2, 2, n), what else each electron's own Hessian has.
        f, g: (size, n, n) of the pairs.
    """
    apart = y.unsqueeze(3) - y.unsqueeze(2)  # (size, 2, n, n)
    along = g.unsqueeze(1) * apart
    blocks = {}
    for a, b in ((0, 0), (0, 1), (1, 1)):
        pairs = along[:, a] * apart[:, b]
        diagonal = bend[:, a, b] + pairs.sum(2)
        if a == b:
            pairs, diagonal = pairs + f, diagonal + own
        blocks[a, b] = torch.diag_embed(diagonal) - pairs
    rows = [torch.cat([blocks[0, b] for b in (0, 1)], 2)]
    rows += [torch.cat([blocks[b, 1] for b in (0, 1)], 2)]
    return torch.cat(rows, 1)


build = Convex
