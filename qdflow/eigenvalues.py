"""Eigenvalues of many small complex matrices at once, on one core, in compiled loops.

Of matrices of 20 rows LAPACK, which takes one after the other, does a quarter as many in a second.
"""

import numba
import numpy as np
import torch
from torch import Tensor

BLOCK = 64  # matrices that fit into the cache together
MOST = 60  # steps for one eigenvalue of all matrices of a block; 5 are usual


def hessenberg_eigenvalues(H: Tensor) -> Tensor:
    """Eigenvalues of upper Hessenberg matrices, in no random order.

    Args:
        H: (2, n, n, size), real parts and imaginary parts; what is below the subdiagonal is
            taken for zero.

    Returns:
        (2, n, size).
    """
    if H.device.type != "cpu":
        return _by_torch(H)
    return torch.cat([_of_block(block) for block in H.split(BLOCK, dim=3)], 2)


def _of_block(H: Tensor) -> Tensor:
    T = H.clone(memory_format=torch.contiguous_format)
    limits = np.finfo(T.numpy().dtype)
    re, im = T.numpy()
    if _triangularise(re, im, limits.eps, limits.tiny):
        return T.diagonal(dim1=1, dim2=2).mT
    return _by_torch(H)


def _by_torch(H: Tensor) -> Tensor:
    """For other devices, and for blocks whose steps do not end."""
    matrices = torch.complex(*H).permute(2, 0, 1).triu(-1)
    return torch.view_as_real(torch.linalg.eigvals(matrices)).permute(2, 1, 0)


_jit = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"}
)


@_jit
def _triangularise(re, im, eps, tiny):
    """QR steps until only the diagonals are left of importance; False if they do not suffice.

    Golub & Van Loan, Matrix Computations (2013), section 7.5, in complex arithmetic. All matrices
    take the same steps, each with a shift of its own, as loops over them are quick.
    """
    n, _, size = re.shape
    shift = np.empty((2, size), re.dtype)
    turns = np.empty((4, n, size), re.dtype)
    for m in range(n - 1, 0, -1):
        for _ in range(MOST):
            if _small(re, im, m, eps):
                break
            _wilkinson(re, im, m, tiny, shift)
            _sweep(re, im, m, tiny, shift, turns)
        if not _small(re, im, m, eps):
            return False
    return True


@_jit
def _small(re, im, m, eps):
    """Whether row m has nothing left of the diagonal."""
    for b in range(re.shape[2]):
        size = abs(re[m, m, b]) + abs(im[m, m, b])
        size += abs(re[m - 1, m - 1, b]) + abs(im[m - 1, m - 1, b])
        if not abs(re[m, m - 1, b]) + abs(im[m, m - 1, b]) <= eps * size:
            return False
    return True


@_jit
def _wilkinson(re, im, m, tiny, shift):
    """That eigenvalue of the last two rows and columns which is closer to the last number."""
    real = re.dtype.type
    half, zero, one = real(0.5), real(0), real(1)
    for b in range(shift.shape[1]):
        t_re = half * (re[m - 1, m - 1, b] - re[m, m, b])
        t_im = half * (im[m - 1, m - 1, b] - im[m, m, b])
        p_re = re[m - 1, m, b] * re[m, m - 1, b] - im[m - 1, m, b] * im[m, m - 1, b]
        p_im = re[m - 1, m, b] * im[m, m - 1, b] + im[m - 1, m, b] * re[m, m - 1, b]
        q_re = t_re * t_re - t_im * t_im + p_re
        q_im = t_re * t_im + t_re * t_im + p_im
        size = np.sqrt(q_re * q_re + q_im * q_im)
        r_re = np.sqrt(max(half * (size + q_re), zero))
        r_im = np.copysign(np.sqrt(max(half * (size - q_re), zero)), q_im)
        sign = np.copysign(one, t_re * r_re + t_im * r_im)
        d_re, d_im = t_re + sign * r_re, t_im + sign * r_im
        d2 = d_re * d_re + d_im * d_im + tiny
        shift[0, b] = re[m, m, b] - (p_re * d_re + p_im * d_im) / d2
        shift[1, b] = im[m, m, b] - (p_im * d_re - p_re * d_im) / d2


@_jit
def _sweep(re, im, m, tiny, shift, turns):
    """H - shift = QR -> RQ + shift, of the first m + 1 rows and columns.

    Q is a product of rotations [[a + ic, it - s], [s + it, a - ic]].
    """
    size = re.shape[2]
    a, c, s, t = turns[0], turns[1], turns[2], turns[3]
    for k in range(m + 1):
        for b in range(size):
            re[k, k, b] -= shift[0, b]
            im[k, k, b] -= shift[1, b]
    for k in range(m):
        for b in range(size):
            x, y, u, v = re[k, k, b], im[k, k, b], re[k + 1, k, b], im[k + 1, k, b]
            r = np.sqrt(x * x + y * y + u * u + v * v) + tiny
            a[k, b], c[k, b], s[k, b], t[k, b] = x / r, y / r, u / r, v / r
            re[k, k, b], im[k, k, b] = r, 0
            re[k + 1, k, b], im[k + 1, k, b] = 0, 0
        for j in range(k + 1, m + 1):
            for b in range(size):
                x, y, u, v = re[k, j, b], im[k, j, b], re[k + 1, j, b], im[k + 1, j, b]
                e, f, g, h = a[k, b], c[k, b], s[k, b], t[k, b]
                re[k, j, b] = e * x + f * y + g * u + h * v
                im[k, j, b] = e * y - f * x + g * v - h * u
                re[k + 1, j, b] = e * u - f * v - g * x + h * y
                im[k + 1, j, b] = e * v + f * u - g * y - h * x
    for k in range(m):
        for i in range(k + 2):
            for b in range(size):
                x, y, u, v = re[i, k, b], im[i, k, b], re[i, k + 1, b], im[i, k + 1, b]
                e, f, g, h = a[k, b], c[k, b], s[k, b], t[k, b]
                re[i, k, b] = e * x - f * y + g * u - h * v
                im[i, k, b] = e * y + f * x + g * v + h * u
                re[i, k + 1, b] = e * u + f * v - g * x - h * y
                im[i, k + 1, b] = e * v - f * u - g * y + h * x
    for k in range(m + 1):
        for b in range(size):
            re[k, k, b] += shift[0, b]
            im[k, k, b] += shift[1, b]
