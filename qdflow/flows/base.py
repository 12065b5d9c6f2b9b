"""The contract every architecture keeps."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from qdflow.bases import Base


class Draw(NamedTuple):
    """Samples of a flow.

    Attributes:
        x: (size, n, 2) configurations.
        log_q: (size,) ln q(x) as the flow states it.
        sign: (size,) of det dx/dz; where it varies the map folds and log_q is no density.
    """

    x: Tensor
    log_q: Tensor
    sign: Tensor


class Flow(nn.Module):
    """A density q(x) over configurations: as a rule the image of a base under a differentiable map.

    Attributes:
        claim: why log_q is a log-density by construction; empty where only a search can tell.
        symmetry: what q has exactly, for the tables: `none`, or joined by + `permutation`, `c4`,
            `o2` (all rotations and mirrors).
        exact_log_prob: whether `log_prob` is exact at every x, and not only near samples.
        exact_inverse: whether `inverse` is there, exact at every x.
        reparametrised: whether samples move with the parameters, x = f(z), so that gradients go
            through them. A flow that draws its samples otherwise overrides `draw` and has
            neither `base` nor `transform`: its x are numbers, and only log_q has a gradient.
        base: what z is drawn from.
        log_beta: name of a parameter that is best near ln beta; empty where none is.
        width: coordinates of an electron in z: 2, or more with momenta after its position. Then q
            is the density of both, and log_q = ln q(x, p) - ln r(p) with a known r.
    """

    claim: str = ""
    symmetry: str = "none"
    exact_log_prob: bool = False
    exact_inverse: bool = False
    reparametrised: bool = True
    base: Base
    log_beta: str = ""
    width: int = 2

    @property
    def device(self) -> torch.device:
        """Where its parameters are; the processor, if it has none."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (size, n, width), ladj = ln |det dx/dz| (size,), that determinant's sign (size,).

        Args:
            z: (size, n, width).
        """
        raise NotImplementedError

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """Independent samples, differentiable in the parameters as `reparametrised` says."""
        return self.image(self.base.sample(size, generator, like=next(self.parameters())))

    def image(self, z: Tensor) -> Draw:
        """What the base's z (size, n, width) become; positions and log_q as in a draw."""
        x, ladj, sign = self.transform(z)
        return Draw(x, self.base.log_prob(z) - ladj, sign)

    def inverse(self, x: Tensor) -> Tensor:
        """z with transform(z) = x, where `exact_inverse`.  (size, n, width), both of them."""
        raise NotImplementedError

    def extended(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Positions (size, n, 2) with momenta of r behind them, where the flow has any."""
        raise NotImplementedError

    def sample(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """x (size, n, 2) and log_q (size,), differentiable as `draw` has them."""
        draw = self.draw(size, generator)
        return draw.x, draw.log_q

    def log_prob(self, x: Tensor) -> Tensor:
        """ln q(x), differentiable.  x (size, n, 2) -> (size,)."""
        raise NotImplementedError

    def located(self, x: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """ln q(x) (size,) of any x (size, n, 2); minus infinity where none was found.

        The generator is that of a log_prob that is random.
        """
        return self.log_prob(x)


@torch.no_grad()
def drawn(flow: Flow, size: int, generator: torch.Generator, chunk: int = 1000) -> Tensor:
    """x (size, n, 2) of a flow, ``chunk`` at a time, which bounds the memory."""
    sizes = [min(chunk, size - k) for k in range(0, size, chunk)]
    return torch.cat([flow.sample(part, generator)[0] for part in sizes])


def minority_fraction(sign: Tensor) -> float:
    """The share of the rarer sign (size,) of the determinant; above 0 the map is known to fold."""
    positive = (sign > 0).double().mean().item()
    return min(positive, 1 - positive)
