"""How many floating-point operations it takes, in closed form: tests count them again.

A product of (a, b) and (b, c) matrices counts 2 a b c; an addition, a multiplication, a division
and a square root count one each.
"""

import math
from collections.abc import Sequence
from itertools import pairwise


def pairs(n: int) -> int:
    """Of the Coulomb energy of n electrons and its gradient: 21 for each pair."""
    return 21 * n * (n - 1) // 2


def mlp_products(sizes: Sequence[int], batch: int, parts: int) -> int:
    """Of all matrix products in one training step of the MLP flow, forwards and backwards.

    The two weights next to z are multiplied first, as they know no sample: once a part.

    Args:
        sizes: of the layers, from z to x: 40, 64, 64, 40.
        batch: samples.
        parts: into which the batch is divided.
    """
    d, h, m, *_ = sizes
    dense = [2 * a * b for a, b in pairwise(sizes)]
    network = 3 * sum(dense) - dense[0]  # z needs no gradient
    jacobian = 3 * 2 * h * d * m + 3 * sum(2 * d * a * b for a, b in pairwise(sizes[2:]))
    weights = 2 * 2 * h * m * d  # back from the products of the first two
    return batch * (network + jacobian) + parts * weights


def mlp(sizes: Sequence[int], batch: int, parts: int) -> int:
    """`mlp_products`, the inversion of a matrix a sample, and the energies."""
    d = sizes[0]
    return mlp_products(sizes, batch, parts) + batch * (2 * d**3 + pairs(d // 2))


def masked(d: int, hidden: Sequence[int], layers: int, batch: int) -> int:
    """Of one training step of ``layers`` masked networks d -> hidden -> 2 d, zeros included."""
    dense = [2 * a * b for a, b in pairwise([d, *hidden, 2 * d])]
    return batch * (layers * 3 * sum(dense) - dense[0] + pairs(d // 2))


def sweep(n: int) -> int:
    """Of one Monte Carlo sweep: each electron's distances from all others, before and after."""
    return 17 * n * (n - 1)


def parts(batch: int, size: int) -> int:
    """Into how many parts of that size a batch is divided."""
    return math.ceil(batch / size)
