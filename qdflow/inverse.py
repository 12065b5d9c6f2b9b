"""Inverting a map that has no closed inverse."""

from collections.abc import Callable

import torch
from torch import Tensor


def newton(
    mapping: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    z: Tensor,
    tolerance: float,
    iterations: int = 100,
) -> tuple[Tensor, Tensor]:
    """Solve mapping(z) = x by damped Newton steps, each row on its own.

    A step is halved until it brings the image closer to x, at most 20 times.

    Args:
        mapping: z (size, d) -> its image (size, d) and its Jacobian dx/dz (size, d, d).
        x: (size, d) wanted images.
        z: (size, d) starts.
        tolerance: on the largest coordinate of mapping(z) - x.
        iterations: Newton steps before giving up.

    Returns:
        z (size, d), and (size,) whether the row was solved. A row that was not may have a
        solution elsewhere, or none.
    """
    for _ in range(iterations):
        image, jacobian = mapping(z)
        miss = image - x
        if (miss.abs().amax(1) <= tolerance).all():
            break
        step, _ = torch.linalg.solve_ex(jacobian, miss.unsqueeze(-1))
        step = torch.nan_to_num(step.squeeze(-1))
        damping = torch.ones_like(z[:, :1])
        for _ in range(20):
            worse = (mapping(z - damping * step)[0] - x).norm(dim=1) > miss.norm(dim=1)
            if not worse.any():
                break
            damping = torch.where(worse[:, None], damping / 2, damping)
        z = z - damping * step
    return z, (mapping(z)[0] - x).abs().amax(1) <= tolerance
