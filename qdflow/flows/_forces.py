"""Sums of softened Coulomb forces, phi(r^2) = sum_k c_k (1 + w_k r^2)^(-3/2), in compiled loops.

The innermost loop runs over samples, which come last. On a core these are some ten times as fast
as torch, whose arrays of all pairs and terms leave the cache; other devices do without.
"""

from typing import Any, cast

import numba
import numpy as np
import torch
from torch import Tensor

from qdflow.compiled import FASTEST


def radial(r2: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """phi at r^2 (n, size), with w and c (terms,).  -> (n, size)."""
    if r2.device.type != "cpu":
        return radial_by_torch(r2, w, c)
    return _Loops.apply(_radial, _radial_gradients, r2, w, c)


def repulsion(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """sum_j phi(|x_i - x_j|^2) (x_i - x_j) at x (2, n, size), with w and c (terms,).  -> as x."""
    if x.device.type != "cpu":
        return repulsion_by_torch(x, w, c)
    return _Loops.apply(_repulsion, _repulsion_gradients, x, w, c)


def shears(y: Tensor, numbers: Tensor, w: Tensor, c: Tensor, v: Tensor, e: Tensor) -> Tensor:
    """p -> g p + f(x), x -> a x + b p, one after the other, with numbers g, k, a, b and

        f_i = sum_j phi(|x_i - x_j|^2) (x_i - x_j) + (k + chi(|x_i|^2)) x_i.

    Args:
        y: (4, n, size), momenta p after positions x.
        numbers: (4,).
        w, c: (terms,) of phi.
        v, e: (terms,) of chi.
    """
    if y.device.type != "cpu":
        return shears_by_torch(y, numbers, w, c, v, e)
    return cast(Tensor, _Shears.apply(y, numbers, w, c, v, e))


def radial_by_torch(r2: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """What `radial` is."""
    return (1 + r2.unsqueeze(-1) * w).pow(-1.5) @ c


def repulsion_by_torch(x: Tensor, w: Tensor, c: Tensor) -> Tensor:
    """What `repulsion` is."""
    d = x.unsqueeze(2) - x.unsqueeze(1)
    return (radial_by_torch(d.square().sum(0), w, c) * d).sum(2)


def shears_by_torch(
    y: Tensor, numbers: Tensor, w: Tensor, c: Tensor, v: Tensor, e: Tensor
) -> Tensor:
    """What `shears` is."""
    g, k, a, b = numbers
    x, p = y.split(2)
    chi = radial_by_torch(x.square().sum(0), v, e)
    p = g * p + repulsion_by_torch(x, w, c) + (k + chi) * x
    return torch.cat([a * x + b * p, p])


class _Loops(torch.autograd.Function):
    """A compiled loop, and the one for the gradients of all its inputs."""

    @staticmethod
    def forward(ctx: Any, loop: Any, gradients: Any, *inputs: Tensor) -> Tensor:
        ctx.gradients = gradients
        ctx.save_for_backward(*inputs)
        return _filled(loop, 1, *inputs)[0]

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_filled(ctx.gradients, 3, *ctx.saved_tensors, *grad)


class _Shears(torch.autograd.Function):
    """The loop of `shears`; the one for its gradients takes what it returned, too."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        (out,) = _filled(_shears, 1, *inputs)
        ctx.save_for_backward(*inputs, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, ...]:
        return _filled(_shears_gradients, 6, *ctx.saved_tensors, *grad)


def _filled(loop: Any, outputs: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """What a loop adds to zeros of the shapes of its first inputs."""
    arrays = [t.detach().contiguous().numpy() for t in inputs]
    filled = [np.zeros(a.shape, a.dtype) for a in arrays[:outputs]]
    loop(*arrays, *filled)
    return tuple(map(torch.from_numpy, filled))


_jit = numba.njit(**FASTEST)
# Part of every loop that calls them. As functions of their own they would be there twice, the same
# but for the order of sums, and which of them runs would hang on whether the loops come from
# numba's cache: two bits for one seed.
_part_of_loops = numba.njit(inline="always", **FASTEST)


@_part_of_loops
def _add_phi(r2, w, c, phi):
    one = r2.dtype.type(1)
    for k in range(w.size):
        wk, ck = w[k], c[k]
        for b in range(r2.size):
            u = one / np.sqrt(one + wk * r2[b])
            phi[b] += ck * u * u * u


@_part_of_loops
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


@_part_of_loops
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


@_part_of_loops
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


@_part_of_loops
def _part(x, i, j, d):
    for a in range(2):
        for b in range(d.shape[1]):
            d[a, b] = x[a, i, b] - x[a, j, b]


@_jit
def _shears(y, numbers, w, c, v, e, out):
    g, k, a, b = numbers[0], numbers[1], numbers[2], numbers[3]
    f = np.zeros_like(y[:2])
    _repulsion(y[:2], w, c, f)
    r2, chi = np.empty_like(y[0, 0]), np.empty_like(y[0, 0])
    for i in range(y.shape[1]):
        for m in range(r2.size):
            r2[m] = y[0, i, m] * y[0, i, m] + y[1, i, m] * y[1, i, m]
            chi[m] = k
        _add_phi(r2, v, e, chi)
        for d in range(2):
            for m in range(r2.size):
                p = g * y[2 + d, i, m] + f[d, i, m] + chi[m] * y[d, i, m]
                out[2 + d, i, m] = p
                out[d, i, m] = a * y[d, i, m] + b * p


@_jit
def _shears_gradients(
    y, numbers, w, c, v, e, out, grad, grad_y, grad_numbers, grad_w, grad_c, grad_v, grad_e
):
    g, k, a, b = numbers[0], numbers[1], numbers[2], numbers[3]
    zero = y.dtype.type(0)
    kick = grad[2:] + b * grad[:2]
    _repulsion_gradients(y[:2], w, c, kick, grad_y[:2], grad_w, grad_c)
    r2, s = np.empty_like(y[0, 0]), np.empty_like(y[0, 0])
    chi, slope = np.empty_like(r2), np.empty_like(r2)
    for i in range(y.shape[1]):
        in_k = zero
        for m in range(r2.size):
            r2[m] = y[0, i, m] * y[0, i, m] + y[1, i, m] * y[1, i, m]
            s[m] = kick[0, i, m] * y[0, i, m] + kick[1, i, m] * y[1, i, m]
            in_k += s[m]
            chi[m], slope[m] = k, zero
        grad_numbers[1] += in_k
        _add_slopes(r2, v, e, s, chi, slope, grad_v, grad_e)
        for d in range(2):
            in_g, in_a, in_b = zero, zero, zero
            for m in range(r2.size):
                x, p = y[d, i, m], y[2 + d, i, m]
                in_g += kick[d, i, m] * p
                in_a += grad[d, i, m] * x
                in_b += grad[d, i, m] * out[2 + d, i, m]
                grad_y[2 + d, i, m] += g * kick[d, i, m]
                bend = (slope[m] + slope[m]) * s[m] * x
                grad_y[d, i, m] += a * grad[d, i, m] + chi[m] * kick[d, i, m] + bend
            grad_numbers[0] += in_g
            grad_numbers[2] += in_a
            grad_numbers[3] += in_b
