"""Groups of the plane, and the density averaged over one of them."""

import math
from itertools import product

import torch
from torch import Tensor

from qdflow import groups
from qdflow.flows.base import Draw, Flow
from qdflow.system import TRAPS, System


def _matrices(elements: groups.Elements) -> Tensor:
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    mirror = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    return torch.stack(
        [
            torch.linalg.matrix_power(turn, k) @ torch.linalg.matrix_power(mirror, int(m))
            for m, k in product(elements.mirrors, elements.quarter_turns)
        ]
    )


# Orthogonal matrices (order, 2, 2), the identity first. Each trap names the largest it has.
GROUPS = {name: _matrices(elements) for name, elements in groups.POINT_GROUPS.items()}


def act(g: Tensor, x: Tensor) -> Tensor:
    """g x, every electron moved alike.  g (*batch, 2, 2), x (*batch, n, 2) -> (*batch, n, 2)."""
    return x @ g.to(x).mT


def moved(x: Tensor, system: System, generator: torch.Generator) -> Tensor:
    """Each configuration under a random element of the symmetry of H: relabelled, turned, mirrored.

    By any angle in an isotropic trap, elsewhere by its group.  x (size, n, 2) -> (size, n, 2).
    """
    size, n, _ = x.shape
    group = TRAPS[system.trap].group
    elements = GROUPS["c4v" if group == "o2" else group]
    g = elements[torch.randint(len(elements), (size,), generator=generator)]
    if group == "o2":
        angle = 2 * math.pi * torch.rand(size, generator=generator, dtype=torch.float64)
        c, s = angle.cos(), angle.sin()
        g = g @ torch.stack([c, -s, s, c], -1).unflatten(1, (2, 2))
    order = torch.rand(size, n, generator=generator).argsort(1)
    return act(g, x.gather(1, order.to(x.device).unsqueeze(-1).expand_as(x)))


class Averaged(Flow):
    """p_sym(x) = (1/|G|) sum_g p(g x), for a flow p whose log_prob is exact everywhere.

    Of two densities with the same <H>, as the energy of every g x is that of x, the averaged one
    has the larger entropy: L - L_sym = (1/beta) E_p[ln p - ln p_sym] lies between 0 and
    ln|G| / beta. It reaches the upper end where the images of p do not overlap.
    """

    def __init__(self, flow: Flow, group: str) -> None:
        """Average ``flow`` over a group of the plane under which H does not change.

        Raises:
            ValueError: no group has that name, or the flow has no exact log_prob.
        """
        super().__init__()
        if group not in GROUPS:
            raise ValueError(f"unknown group {group!r}; choose from {', '.join(GROUPS)}")
        if not flow.exact_log_prob:
            raise ValueError(
                f"{type(flow).__name__} has no exact log_prob, which averaging over {group} needs"
                " at the turned configurations; choose a flow with an inverse of its own"
            )
        self.flow = flow
        self.claim = flow.claim
        self.symmetry = group if flow.symmetry == "none" else f"{flow.symmetry}+{group}"
        self.exact_log_prob = True
        self.reparametrised = flow.reparametrised
        self.register_buffer("group", GROUPS[group].clone(), persistent=False)

    def draw(self, size: int, generator: torch.Generator) -> Draw:
        """Independent samples of p_sym, differentiable in the parameters of p."""
        return self.draw_both(size, generator)[1]

    def draw_both(self, size: int, generator: torch.Generator) -> tuple[Draw, Draw]:
        """Samples of p with ln p, and the same samples turned at random with ln p_sym."""
        before = self.flow.draw(size, generator)
        others = self._images(before.x, self._elements(before.x)[1:])
        log_q = _log_mean_exp(torch.cat([before.log_q.unsqueeze(0), others]))
        choice = torch.randint(len(self.get_buffer("group")), (size,), generator=generator)
        g = self._elements(before.x)[choice.to(before.x.device)]
        return before, Draw(act(g, before.x), log_q, before.sign)

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p_sym(x).  x (size, n, 2) -> (size,)."""
        return _log_mean_exp(self._images(x, self._elements(x)))

    def _images(self, x: Tensor, elements: Tensor) -> Tensor:
        """ln p(g x) for each g.  x (size, n, 2) -> (elements, size)."""
        turned = act(elements.unsqueeze(1), x)
        return self.flow.log_prob(turned.flatten(0, 1)).unflatten(0, (len(elements), -1))

    def _elements(self, like: Tensor) -> Tensor:
        return self.get_buffer("group").to(like)


def _log_mean_exp(values: Tensor) -> Tensor:
    return values.logsumexp(0) - math.log(len(values))
