"""Estimates from samples of two normal densities, of which everything is known."""

import math

import numpy as np
import pytest

from qdflow import bounds
from qdflow.free_energy import bar_difference
from qdflow.stats import effective_share

BETA = 2.0
F = -math.log(math.sqrt(2 * math.pi)) / BETA  # of beta H = (y - shift)^2 / 2


def log_weight(y, shift):
    """-beta H - ln q for q = N(0, 1)."""
    return y**2 / 2 - (y - shift) ** 2 / 2 + math.log(2 * math.pi) / 2


def samples(rng, shift, size=4000, draws=250):
    x, y = rng.normal(size=size), shift + rng.normal(size=(8, draws))
    return (x - shift) ** 2 / 2 / BETA, log_weight(x, shift), log_weight(y, shift)


def test_refused_without_overlap(rng):
    energy, w_q, w_p = samples(rng, shift=6.0)
    found = bounds.free_energies(w_q, w_p, BETA) | bounds.energies(energy, w_q, w_p, rng)
    assert found["lower"].estimate.mean < F
    for method in ("lfep", "bar", "snis", "independence"):
        assert found[method].refusal.startswith("refused: ")
        assert math.isnan(found[method].estimate.mean)


def test_a_dropped_mode_is_caught_by_the_reference(rng):
    """q = one of two equal modes of p, far apart: its own samples see nothing amiss."""
    centre, T = 8.0, 1 / BETA
    x, mode = rng.normal(size=4000), rng.integers(0, 2, size=(8, 250))
    y = centre * mode + rng.normal(size=mode.shape)

    def w(v):
        p = np.logaddexp(-(v**2) / 2, -((v - centre) ** 2) / 2)
        return p + v**2 / 2 + math.log(2 * math.pi) / 2

    found = bounds.free_energies(w(x), w(y), BETA)
    found |= bounds.energies(x**2, w(x), w(y), rng)
    for method in ("lfep", "snis", "independence"):
        assert "lost a part" in found[method].refusal
    two_modes = F - T * math.log(2)
    assert abs(found["bar"].estimate.sigmas_from(two_modes)) < 4


def test_what_lives_elsewhere_is_not_lost(rng):
    """Of q a tenth is in the domain of p, and of that nothing is amiss: both sides agree."""
    w_q = np.where(rng.random(20_000) < 0.1, rng.normal(-0.02, 0.2, 20_000), -1e6)
    w_p = rng.normal(0.02, 0.2, (8, 500)) - math.log(0.1)  # of normal weights; 1/Z is q(domain)
    seen = bounds.effective_share_of_p(w_p)
    assert seen == pytest.approx(10 * effective_share(w_q).mean, rel=0.1)
    assert not bounds.lost_part(w_q, w_p, home=0.1)
    lost = np.where(rng.random(w_p.shape) < 0.9, w_p, w_p + 6)
    assert not bounds.lost_part(w_q, lost)
    assert "lost a part" in bounds.lost_part(w_q, lost, home=0.1)


def test_a_frozen_chain_is_caught(rng):
    w_q = rng.normal(size=4000)
    w_q[:4000:500] += 50  # each chain starts where no proposal is ever accepted
    assert "a chain is frozen" in bounds.independence(w_q, w_q, rng).refusal


def test_bar_of_unequal_sizes_solves_bennetts_equation(rng):
    forward, backward = rng.normal(1.5, 1, 3000), rng.normal(-0.5, 1, 700)
    c = bar_difference(forward, backward) - math.log(3000 / 700)
    fermi = [1 / (1 + np.exp(forward - c)), 1 / (1 + np.exp(backward + c))]
    assert fermi[0].sum() == pytest.approx(fermi[1].sum(), rel=1e-6)


def test_effective_share_from_either_end(rng):
    """Of N(0, 1) for N(m, 1) it is exp(-m^2)."""
    shares = [bounds.effective_share_of_p(samples(rng, 0.5)[2]) for _ in range(20)]
    error = np.std(shares, ddof=1) / 20**0.5
    assert abs(np.mean(shares) - math.exp(-0.25)) < 4 * error
