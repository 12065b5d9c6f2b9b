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
    z, solved = z.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    rows = torch.arange(len(x), device=x.device)  # to be solved
    for _ in range(iterations + 1):
        image, jacobian = mapping(z[rows])
        miss = image - x[rows]
        done = miss.abs().amax(1) <= tolerance
        solved[rows] = done
        rows, miss, jacobian = rows[~done], miss[~done], jacobian[~done]
        if not len(rows):
            break
        step, _ = torch.linalg.solve_ex(jacobian, miss.unsqueeze(-1))
        step = torch.nan_to_num(step.squeeze(-1))
        z[rows] = _closer(mapping, x[rows], z[rows], step, miss.norm(dim=1))
    return z, solved


def continued(
    mapping: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    z: Tensor,
    tolerance: float,
    parts: int = 16,
) -> tuple[Tensor, Tensor]:
    """Solve mapping(z) = x along the segment from the image of z, part by part.

    Continuation, for where Newton's method fails at once (Allgower & Georg, Introduction to
    Numerical Continuation Methods (2003), chapter 2). Arguments and results are those of `newton`.
    """
    begin = mapping(z)[0]
    solved = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for k in range(1, parts + 1):
        z, solved = newton(mapping, begin + (x - begin) * k / parts, z, tolerance, iterations=20)
    return z, solved


def _closer(
    mapping: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    z: Tensor,
    step: Tensor,
    miss: Tensor,
) -> Tensor:
    """z - t step, t = 1, 1/2, ... the first whose image is closer to x than ``miss`` (size,)."""
    there, left = z - step, torch.arange(len(z), device=z.device)
    for halving in range(1, 20):
        left = left[(mapping(there[left])[0] - x[left]).norm(dim=1) > miss[left]]
        if not len(left):
            break
        there[left] = z[left] - step[left] / 2**halving
    return there


def convex_newton(
    potential: Callable[[Tensor], Tensor],
    derivatives: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    tolerance: float,
    iterations: int = 500,
) -> tuple[Tensor, Tensor]:
    """Solve grad Psi(z) = x by minimising Psi(z) - x z, each row on its own.

    Psi has to be strongly convex: the minimum exists and is the only one, and Newton steps that
    are halved until they bring the value down enough reach it from everywhere (Boyd &
    Vandenberghe, Convex Optimization (2004), section 9.5).

    Args:
        potential: z (size, d) -> Psi (size,).
        derivatives: z (size, d) -> its gradient (size, d) and its Hessian (size, d, d).
        x: (size, d) wanted gradients, where the search starts as well.
        tolerance: on the largest coordinate of grad Psi(z) - x, in units of x where x is large.
        iterations: Newton steps before giving up.

    Returns:
        z (size, d), and (size,) whether the row was solved.
    """
    z, solved = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    rows = torch.arange(len(x), device=x.device)  # to be solved
    accepted = tolerance * x.abs().amax(1).clamp(min=1)
    for _ in range(iterations):
        gradient, hessian = derivatives(z[rows])
        miss = gradient - x[rows]
        done = miss.abs().amax(1) <= accepted[rows]
        solved[rows] = done
        rows, miss, hessian = rows[~done], miss[~done], hessian[~done]
        if not len(rows):
            break
        L, _ = torch.linalg.cholesky_ex(hessian)
        step = torch.nan_to_num(torch.cholesky_solve(miss.unsqueeze(-1), L).squeeze(-1))
        z[rows] = _descend(potential, x[rows], z[rows], step, miss)
    return z, solved


def _descend(
    potential: Callable[[Tensor], Tensor], x: Tensor, z: Tensor, step: Tensor, miss: Tensor
) -> Tensor:
    """z - t step, t = 1, 1/2, ... the first that lowers Psi - x z by 1e-4 of the slope's word."""
    wanted = 1e-4 * (miss * step).sum(1)
    start = potential(z)
    noise = 10 * torch.finfo(z.dtype).eps * (start.abs() + (x * z).abs().sum(1))
    t = torch.ones_like(wanted)
    for _ in range(50):
        there = z - t.unsqueeze(1) * step
        gain = start - potential(there) - (t.unsqueeze(1) * step * x).sum(1)
        short = gain + noise < t * wanted
        if not short.any():
            break
        t = torch.where(short, t / 2, t)
    return z - t.unsqueeze(1) * step
