"""Exact answers that share no code with qdflow."""

import numpy as np
import torch
from scipy.integrate import quad

SHIPPED = ("harmonic", "quartic")  # traps whose formulas are written out here


def two_electrons(beta):
    """F and <E> of n = 2 in the harmonic trap: centre of mass and relative motion separate.

    H = 2 R^2 + r^2 / 2 + 1/r with x_1 = R + r/2, x_2 = R - r/2.
    """
    F, E, _ = _two_electrons(beta)
    return F, E


def heat_of_two_electrons(beta):
    """C = beta^2 Var(H), the sum over the two motions."""
    return _two_electrons(beta)[2]


def _two_electrons(beta):
    def moment(power_of_h):
        def integrand(r):
            h = r * r / 2 + 1 / r
            return 2 * np.pi * r * h**power_of_h * np.exp(-beta * (h - 1.5))

        return (
            quad(integrand, 0, 1, epsabs=0, epsrel=1e-12)[0]
            + quad(integrand, 1, np.inf, epsabs=0, epsrel=1e-12)[0]
        )

    log_z = np.log(np.pi / (2 * beta)) + np.log(moment(0)) - 1.5 * beta
    mean, square = moment(1) / moment(0), moment(2) / moment(0)
    return -log_z / beta, 1 / beta + mean, 1 + beta**2 * (square - mean**2)


def one_electron(trap, beta):
    """F and <E> of n = 1: closed form, or one angular integral for the quartic trap."""
    if trap == "harmonic":
        return -np.log(np.pi / beta) / beta, 1 / beta
    # V = r^4 a(phi); the radial integral of r exp(-beta a r^4) is sqrt(pi / (beta a)) / 4.
    z, _ = quad(
        lambda p: np.sqrt(np.pi / (beta * (1 - 0.75 * np.sin(2 * p) ** 2))) / 4, 0, 2 * np.pi
    )
    return -np.log(z) / beta, 1 / (2 * beta)


def energy_by_double_loop(x, trap):
    """H of one configuration (n, 2), term by term."""
    total = 0.0
    for i, (a, b) in enumerate(x):
        total += a**2 + b**2 if trap == "harmonic" else a**4 + b**4 - a**2 * b**2
        for c, d in x[:i]:
            total += 1 / ((a - c) ** 2 + (b - d) ** 2) ** 0.5
    return total


def boltzmann_of_two(beta, size, generator):
    """Independent samples (size, 2, 2): the trap's Gaussian, thinned by the repulsion."""
    x = torch.randn(200 * size, 2, 2, generator=generator, dtype=torch.float64)
    x *= (2 * beta) ** -0.5
    luck = torch.rand(len(x), generator=generator, dtype=torch.float64)
    kept = x[luck < torch.exp(-beta / (x[:, 0] - x[:, 1]).norm(dim=1))]
    assert len(kept) >= size
    return kept[:size]
