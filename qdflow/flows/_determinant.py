"""ln |det| of W_k D_{k-1} ... D_1 W_1, a network's Jacobian, and its gradient in closed form.

Each product is one large matrix product over all samples: the first two weights, which know no
sample, are multiplied beforehand. The inverse, whose transpose is the gradient of ln |det|, comes
with the determinant, by compiled elimination: at 40 x 40 LAPACK is mostly overhead.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numba
import numpy as np
import torch
from torch import Tensor

from qdflow.compiled import FAST, in_threads


def log_det(weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """ln |det| and its sign of W_k D_{k-1} ... D_1 W_1, with D = diag(slopes), once differentiable.

    Args:
        weights: W_1 to W_k, of which the first has as many columns as the last has rows.
        slopes: D_1 to D_{k-1}, (size, width) each.

    Returns:
        (size,), both of them.
    """
    if not slopes:
        raise ValueError("a single matrix has one determinant for all samples; use slogdet")
    return cast(tuple[Tensor, Tensor], _LogDet.apply(len(weights), *weights, *slopes))


def log_dets(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """ln |det| and its sign of each matrix, once differentiable.

    Args:
        matrices: (size, d, d).

    Returns:
        (size,), both of them.
    """
    if not (torch.is_grad_enabled() and matrices.requires_grad):
        sign, ladj = torch.linalg.slogdet(matrices)
        return ladj, sign
    return cast(tuple[Tensor, Tensor], _Determinant.apply(matrices))


class _Determinant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        transposed, ladj, sign = inverted(matrices)
        ctx.save_for_backward(transposed)
        ctx.mark_non_differentiable(sign)
        return ladj, sign

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (transposed,) = ctx.saved_tensors
        return transposed * grads[0][:, None, None]


class _LogDet(torch.autograd.Function):
    """Products are kept transposed, (size, columns of W_1, rows of the last factor)."""

    @staticmethod
    def forward(ctx: Any, k: int, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        weights, slopes = inputs[:k], inputs[k:]
        products = [_first_product(weights[0], weights[1], slopes[0])]
        scaled = []
        for W, d in zip(weights[2:], slopes[1:], strict=True):
            scaled.append(products[-1] * d.unsqueeze(1))
            products.append(scaled[-1] @ W.T)
        inverse, ladj, sign = inverted(products.pop())  # transposed: that of the Jacobian
        ctx.k = k
        ctx.save_for_backward(*inputs, *products, *scaled, inverse)
        ctx.mark_non_differentiable(sign)
        return ladj, sign

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        k, saved = ctx.k, list(ctx.saved_tensors)
        weights, slopes = saved[:k], saved[k : 2 * k - 1]
        products, scaled = saved[2 * k - 1 : 3 * k - 3], saved[3 * k - 3 : -1]
        G = saved[-1] * grads[0][:, None, None]  # of the transposed Jacobian
        in_weights, in_slopes = [], []
        for W, d, A, S in reversed(
            list(zip(weights[2:], slopes[1:], products, scaled, strict=True))
        ):
            in_weights.append(G.flatten(0, 1).T @ S.flatten(0, 1))
            G = G @ W
            in_slopes.append(_passed(G, A, d))
        W_1, W_2 = weights[:2]
        G = G.flatten(1)
        in_slopes.append(G @ _pairs(W_1, W_2).T)
        in_pairs = (slopes[0].T @ G).unflatten(1, (W_1.shape[1], -1))
        in_weights += [
            torch.einsum("jki,jk->ij", in_pairs, W_1),
            torch.einsum("jki,ij->jk", in_pairs, W_2),
        ]
        return None, *reversed(in_weights), *reversed(in_slopes)


def _pairs(W_1: Tensor, W_2: Tensor) -> Tensor:
    """Row j holds the product of column j of W_2 with row j of W_1, transposed and flat."""
    return (W_1.unsqueeze(2) * W_2.T.unsqueeze(1)).flatten(1)


def _first_product(W_1: Tensor, W_2: Tensor, d: Tensor) -> Tensor:
    """(W_2 diag(d) W_1)^T of each row of d.  -> (size, columns of W_1, rows of W_2)."""
    return (d @ _pairs(W_1, W_2)).unflatten(1, (W_1.shape[1], -1))


def inverted(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The transposed inverse, ln |det| and the sign of det of each, not differentiable.

    A singular matrix has ln |det| = -inf, the sign 0, and an inverse that is not finite.

    Args:
        matrices: (size, d, d).

    Returns:
        (size, d, d), (size,) and (size,).
    """
    if matrices.device.type != "cpu":
        sign, ladj = torch.linalg.slogdet(matrices)
        return torch.linalg.inv_ex(matrices).inverse.mT.contiguous(), ladj, sign
    matrices = matrices.detach().contiguous()
    inverse = torch.empty_like(matrices)
    ladj, sign = torch.empty((2, len(inverse)), dtype=matrices.dtype)
    bits = np.int32 if matrices.dtype == torch.float32 else np.int64
    everything = np.full(1, np.iinfo(bits).max, bits)
    in_threads(partial(_invert, everything), matrices, inverse, ladj, sign)
    return inverse, ladj, sign


def _passed(G: Tensor, A: Tensor, d: Tensor) -> Tensor:
    """The gradient in d of sum(G * A * d), (size, width); G times d takes the place of G."""
    if G.device.type != "cpu":
        gradient = (G * A).sum(1)
        G *= d.unsqueeze(1)
        return gradient
    gradient = torch.zeros_like(d)
    in_threads(_pass, G, A, d.detach().contiguous(), gradient)
    return gradient


_jit = numba.njit(**FAST)


@_jit
def _pass(G, A, d, gradient):
    for b in range(len(G)):
        for i in range(G.shape[1]):
            g, a, slope, in_slope = G[b, i], A[b, i], d[b], gradient[b]
            for j in range(g.size):
                in_slope[j] += g[j] * a[j]
                g[j] *= slope[j]


@_jit
def _invert(everything, matrices, transposed, ladj, sign):
    """By Gauss-Jordan elimination with partial pivoting, four columns at a time.

    Rows are contiguous, and are what the steps take for columns. Nothing is swapped: step k has
    its pivot in place p[k], and the order is put right at the end. ``everything`` is the integer
    whose bits are all those of a number but the sign's.
    """
    n = matrices.shape[1]
    panel, factors = np.empty((4, n), matrices.dtype), np.empty((n, 4), matrices.dtype)
    a, p, free = np.empty_like(matrices[0]), np.empty(n, np.int64), np.empty(n, everything.dtype)
    for b in range(len(matrices)):
        a[:] = matrices[b]
        free[:] = everything[0]
        ladj[b], sign[b] = 0, 1
        for start in range(0, n, 4):
            width = min(4, n - start)
            panel[:width] = a[start : start + width]
            panel[width:] = 0
            log, side = _pivoted(panel[:width], free, p[start : start + width])
            ladj[b] += log
            sign[b] *= side
            _eliminate(a, panel, start, width, p, factors)
            a[start : start + width] = panel[:width]
        for k in range(n):
            for j in range(n):
                transposed[b, k, p[j]] = a[j, p[k]]
        sign[b] *= _parity(p)
        if sign[b] == 0:
            ladj[b] = -np.inf


@_jit
def _pivoted(panel, free, p):
    """The steps of some columns, done to these alone; ln |det| and the sign of their pivots."""
    one = panel.dtype.type(1)
    log, side = 0.0, 1.0
    for k in range(len(panel)):
        column = panel[k]
        p[k] = _largest(column.view(free.dtype), free)
        pivot = column[p[k]]
        free[p[k]] = 0
        log += np.log(np.float64(abs(pivot)))
        if pivot < 0:
            side = -side
        if pivot == 0:
            side = 0.0
        shrink = one / pivot
        for i in range(column.size):
            column[i] *= -shrink
        column[p[k]] = shrink
        for j in range(len(panel)):
            if j != k:
                factor, panel[j, p[k]] = panel[j, p[k]], 0
                other = panel[j]
                for i in range(column.size):
                    other[i] += factor * column[i]
    return log, side


@_jit
def _largest(bits, free):
    """Where the largest of the free numbers is, by their bits: NaN before all, then infinity."""
    largest = bits.dtype.type(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & free[i])
    p = 0
    while free[p] == 0 or bits[p] & free[p] != largest:
        p += 1
    return p


@_jit
def _eliminate(a, panel, start, width, p, factors):
    """The same steps, done to all other columns."""
    factors[:] = 0
    for j in range(len(a)):  # on its own, as vectors wait for numbers written one by one
        if j < start or j >= start + width:
            for m in range(width):
                k = p[start + m]
                factors[j, m], a[j, k] = a[j, k], 0
    p0, p1, p2, p3 = panel[0], panel[1], panel[2], panel[3]
    for j in range(len(a)):
        if j < start or j >= start + width:
            f0, f1, f2, f3 = factors[j, 0], factors[j, 1], factors[j, 2], factors[j, 3]
            column = a[j]
            for i in range(column.size):
                column[i] += f0 * p0[i] + f1 * p1[i] + f2 * p2[i] + f3 * p3[i]


@_jit
def _parity(p):
    """The sign of a permutation, which is put in order."""
    side = 1.0
    for k in range(len(p)):
        while p[k] != k:
            other = p[k]
            p[k], p[other] = p[other], other
            side = -side
    return side
