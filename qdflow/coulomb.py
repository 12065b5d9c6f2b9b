"""sum_{i<j} 1 / |x_i - x_j| and its gradient, in compiled loops: no array of all pairs.

The innermost loop runs over samples, which come last.
"""

from typing import Any, cast

import numba
import numpy as np
import torch
from torch import Tensor

from qdflow.compiled import FAST

_TILE = 128  # samples at a time: positions and forces of 20 electrons stay in the nearest cache


def repulsion(x: Tensor) -> Tensor:
    """The sum, +inf where two coincide, once differentiable.  x (size, n, 2) -> (size,)."""
    return cast(Tensor, _Repulsion.apply(x))


class _Repulsion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.detach().permute(2, 1, 0).contiguous()
        energy = y.new_zeros(len(x))
        gradient = torch.zeros_like(y) if ctx.needs_input_grad[0] else y[:0]
        _sum(y.numpy(), energy.numpy(), gradient.numpy())
        ctx.save_for_backward(gradient)
        return energy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (gradient,) = ctx.saved_tensors
        return (gradient * grads[0]).permute(2, 1, 0)


_jit = numba.njit(**FAST)


@_jit
def _sum(x, energy, gradient):
    """Adds to both; the gradient only if it is not empty.  x (2, n, size)."""
    for start in range(0, energy.size, _TILE):
        part = slice(start, start + _TILE)
        if len(gradient):
            _with_gradient(x[:, :, part], energy[part], gradient[:, :, part])
        else:
            _without(x[:, :, part], energy[part])


@_jit
def _without(x, energy):
    one = energy.dtype.type(1)
    for i in range(x.shape[1]):
        for j in range(i):
            xi, yi, xj, yj = x[0, i], x[1, i], x[0, j], x[1, j]
            for b in range(energy.size):
                u, v = xi[b] - xj[b], yi[b] - yj[b]
                energy[b] += one / np.sqrt(u * u + v * v)


@_jit
def _with_gradient(x, energy, gradient):
    one = energy.dtype.type(1)
    for i in range(x.shape[1]):
        for j in range(i):
            xi, yi, xj, yj = x[0, i], x[1, i], x[0, j], x[1, j]
            gxi, gyi, gxj, gyj = gradient[0, i], gradient[1, i], gradient[0, j], gradient[1, j]
            for b in range(energy.size):
                u, v = xi[b] - xj[b], yi[b] - yj[b]
                inverse = one / np.sqrt(u * u + v * v)
                push = inverse * inverse * inverse
                energy[b] += inverse
                gxi[b] -= push * u
                gyi[b] -= push * v
                gxj[b] += push * u
                gyj[b] += push * v
