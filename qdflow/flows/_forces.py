"""Sums of softened Coulomb forces, phi(r^2) = sum_k c_k (1 + w_k r^2)^(-3/2), in compiled loops.

The innermost loop runs over samples, which come last. On a core these are some ten times as fast
as torch, whose arrays of all pairs and terms leave the cache; other devices do without.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor


def radial(r2: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """phi at r^2 (n, size), with w and c (terms,).  -> (n, size)."""
    return _Radial.apply(r2, w, c) if r2.device.type == "cpu" else radial_by_torch(r2, w, c)


def repulsion(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """sum_j phi(|x_i - x_j|^2) (x_i - x_j) at x (2, n, size), with w and c (terms,).  -> as x."""
    return _Repulsion.apply(x, w, c) if x.device.type == "cpu" else repulsion_by_torch(x, w, c)


def radial_by_torch(r2: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """What `radial` is."""
    return (1 + r2.unsqueeze(-1) * w).pow(-1.5) @ c


def repulsion_by_torch(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """What `repulsion` is."""
    d = x.unsqueeze(2) - x.unsqueeze(1)
    return (radial_by_torch(d.square().sum(0), w, c) * d).sum(2)


class _Radial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r2: Tensor, w: Tensor, c: Tensor) -> Tensor:
        ctx.save_for_backward(r2, w, c)
        return _filled(_radial, 1, r2, w, c)[0]

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, ...]:
        return _filled(_radial_gradients, 3, *ctx.saved_tensors, *grad)


class _Repulsion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, c: Tensor) -> Tensor:
        ctx.save_for_backward(x, w, c)
        return _filled(_repulsion, 1, x, w, c)[0]

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, ...]:
        return _filled(_repulsion_gradients, 3, *ctx.saved_tensors, *grad)


def _filled(loop: Any, outputs: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """What a loop adds to zeros of the shapes of its first inputs."""
    filled = tuple(torch.zeros(t.shape, dtype=t.dtype) for t in inputs[:outputs])
    loop(*(t.detach().contiguous().numpy() for t in inputs), *(t.numpy() for t in filled))
    return filled


# Sums may be reordered, and roots taken by Newton's method: that lets the compiler use wide
# registers. NaN keeps its meaning.
_jit = numba.njit(
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "arcp", "nsz", "afn"},
)


@_jit
def _add_phi(r2, w, c, phi):
    one = r2.dtype.type(1)
    for k in range(w.size):
        wk, ck = w[k], c[k]
        for b in range(r2.size):
            u = one / np.sqrt(one + wk * r2[b])
            phi[b] += ck * u * u * u


@_jit
def _add_slopes(r2, w, c, s, phi, slope, grad_w, grad_c):
    """Also dphi/dr^2, and the gradients of sum_b s_b phi_b."""
    real = r2.dtype.type
    one, power = real(1), real(-1.5)
    for k in range(w.size):
        wk, ck, in_w, in_c = w[k], c[k], real(0), real(0)
        for b in range(r2.size):
            u2 = one / (one + wk * r2[b])
            u3 = u2 * np.sqrt(u2)
            u5 = u3 * u2
            phi[b] += ck * u3
            slope[b] += power * ck * wk * u5
            in_c += s[b] * u3
            in_w += s[b] * r2[b] * u5
        grad_c[k] += in_c
        grad_w[k] += power * ck * in_w


@_jit
def _radial(r2, w, c, phi):
    for i in range(len(r2)):
        _add_phi(r2[i], w, c, phi[i])


@_jit
def _radial_gradients(r2, w, c, grad, grad_r2, grad_w, grad_c):
    phi = np.zeros_like(r2)
    for i in range(len(r2)):
        _add_slopes(r2[i], w, c, grad[i], phi[i], grad_r2[i], grad_w, grad_c)
        for b in range(r2.shape[1]):
            grad_r2[i, b] *= grad[i, b]


@_jit
def _repulsion(x, w, c, f):
    d, r2 = np.empty_like(x[:, 0]), np.empty_like(x[0, 0])
    phi = np.empty_like(r2)
    for i in range(x.shape[1]):
        for j in range(i):
            _part(x, i, j, d)
            for b in range(r2.size):
                r2[b] = d[0, b] * d[0, b] + d[1, b] * d[1, b]
                phi[b] = 0
            _add_phi(r2, w, c, phi)
            for a in range(2):
                for b in range(r2.size):
                    push = phi[b] * d[a, b]
                    f[a, i, b] += push
                    f[a, j, b] -= push


@_jit
def _repulsion_gradients(x, w, c, grad, grad_x, grad_w, grad_c):
    d, g = np.empty_like(x[:, 0]), np.empty_like(x[:, 0])
    r2, s = np.empty_like(x[0, 0]), np.empty_like(x[0, 0])
    phi, slope = np.empty_like(r2), np.empty_like(r2)
    for i in range(x.shape[1]):
        for j in range(i):
            _part(x, i, j, d)
            _part(grad, i, j, g)
            for b in range(r2.size):
                r2[b] = d[0, b] * d[0, b] + d[1, b] * d[1, b]
                s[b] = g[0, b] * d[0, b] + g[1, b] * d[1, b]
                phi[b] = slope[b] = 0
            _add_slopes(r2, w, c, s, phi, slope, grad_w, grad_c)
            for a in range(2):
                for b in range(r2.size):
                    part = phi[b] * g[a, b] + (slope[b] + slope[b]) * s[b] * d[a, b]
                    grad_x[a, i, b] += part
                    grad_x[a, j, b] -= part


@_jit
def _part(x, i, j, d):
    for a in range(2):
        for b in range(d.shape[1]):
            d[a, b] = x[a, i, b] - x[a, j, b]
