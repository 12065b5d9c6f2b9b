"""Sums over pairs of electrons and their gradients, in compiled loops: no array of all pairs.

The innermost loops run over samples, which come last. Other devices do without.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
import torch
from torch import Tensor

from qdflow.compiled import FAST

_TILE = 128  # samples at a time: positions and gradients of 20 electrons stay in the nearest cache
_FACTORS = 4  # squared distances that are multiplied before a logarithm is taken


def inverse_distances(x: Tensor) -> Tensor:
    """sum_{i<j} 1 / |x_i - x_j|, +inf where two coincide.  x (*batch, n, 2) -> (*batch,).

    Once differentiable, on a processor.
    """
    if x.device.type != "cpu":
        return squares(x).rsqrt().sum(-1)
    return _summed(_add_inverse, x)


def log_squares(x: Tensor) -> Tensor:
    """sum_{i<j} ln |x_i - x_j|^2, -inf where two coincide.  x (*batch, n, 2) -> (*batch,).

    Once differentiable, on a processor.
    """
    if x.device.type != "cpu":
        return squares(x).log().sum(-1)
    return _summed(_add_logarithm, x)


def squares(x: Tensor) -> Tensor:
    """|x_i - x_j|^2 of all i < j.  x (*batch, n, 2) -> (*batch, n (n - 1) / 2)."""
    i, j = torch.triu_indices(x.shape[-2], x.shape[-2], 1, device=x.device)
    return (x[..., i, :] - x[..., j, :]).square().sum(-1)


def _summed(add: Callable[..., None], x: Tensor) -> Tensor:
    flat = x.reshape(-1, *x.shape[-2:])
    return cast(Tensor, _Sum.apply(add, flat)).reshape(x.shape[:-2])


class _Sum(torch.autograd.Function):
    """A loop gives the sum and, if it is wanted, the gradient with it."""

    @staticmethod
    def forward(ctx: Any, add: Callable[..., None], x: Tensor) -> Tensor:
        y = x.detach().permute(2, 1, 0).contiguous()
        total = y.new_zeros(len(x))
        gradient = torch.zeros_like(y if ctx.needs_input_grad[1] else y[:0])
        add(y.numpy(), total.numpy(), gradient.numpy())
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, (gradient * grads[0]).permute(2, 1, 0)


_jit = numba.njit(**FAST)


@_jit
def _add_inverse(x, total, gradient):
    """Adds to both; the gradient only if it is not empty.  x (2, n, size)."""
    for start in range(0, total.size, _TILE):
        part = slice(start, start + _TILE)
        if len(gradient):
            _inverse_with_gradient(x[:, :, part], total[part], gradient[:, :, part])
        else:
            _inverse(x[:, :, part], total[part])


@_jit
def _inverse(x, total):
    one = total.dtype.type(1)
    for i in range(x.shape[1]):
        for j in range(i):
            for b in range(total.size):
                u, v = x[0, i, b] - x[0, j, b], x[1, i, b] - x[1, j, b]
                total[b] += one / np.sqrt(u * u + v * v)


@_jit
def _inverse_with_gradient(x, total, gradient):
    one = total.dtype.type(1)
    for i in range(x.shape[1]):
        for j in range(i):
            for b in range(total.size):
                u, v = x[0, i, b] - x[0, j, b], x[1, i, b] - x[1, j, b]
                inverse = one / np.sqrt(u * u + v * v)
                push = inverse * inverse * inverse
                total[b] += inverse
                gradient[0, i, b] -= push * u
                gradient[1, i, b] -= push * v
                gradient[0, j, b] += push * u
                gradient[1, j, b] += push * v


@_jit
def _add_logarithm(x, total, gradient):
    """As `_add_inverse`."""
    product = np.ones(min(_TILE, total.size), total.dtype)
    for start in range(0, total.size, _TILE):
        part = slice(start, start + _TILE)
        y, sums, slopes = x[:, :, part], total[part], gradient[:, :, part]
        k = 0
        for i in range(y.shape[1]):
            for j in range(i):
                _multiply(y, i, j, product[: sums.size], slopes)
                k += 1
                if k % _FACTORS == 0:
                    _take_logarithms(product[: sums.size], sums)
        _take_logarithms(product[: sums.size], sums)


@_jit
def _multiply(x, i, j, product, gradient):
    two = product.dtype.type(2)
    for b in range(product.size):
        u, v = x[0, i, b] - x[0, j, b], x[1, i, b] - x[1, j, b]
        product[b] *= u * u + v * v
    if len(gradient):
        for b in range(product.size):
            u, v = x[0, i, b] - x[0, j, b], x[1, i, b] - x[1, j, b]
            pull = two / (u * u + v * v)
            gradient[0, i, b] += pull * u
            gradient[1, i, b] += pull * v
            gradient[0, j, b] -= pull * u
            gradient[1, j, b] -= pull * v


@_jit
def _take_logarithms(product, total):
    for b in range(product.size):
        total[b] += np.log(product[b])
        product[b] = 1
