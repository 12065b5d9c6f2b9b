"""Shells, pair correlations and molecules, against configurations and laws that are known."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from qdflow import correlation, densities, molecules, shells
from qdflow.bases import Ginibre
from qdflow.system import System


def rings(rng, size, patterns, radii=(0.0, 1.0, 2.0), width=0.08):
    """Configurations whose rings hold what a pattern says, one after the other."""
    found = []
    for k in range(size):
        r = np.repeat(radii, patterns[k % len(patterns)]) + width * rng.normal(size=20)
        angle = rng.uniform(0, 2 * np.pi, 20)
        found.append(np.stack([r * np.cos(angle), r * np.sin(angle)], -1))
    return np.stack(found)


def ground_state(n, tries=8):
    """The minimum of H in the harmonic trap, the lowest of some starts."""
    system, rng = System(n), np.random.default_rng(0)

    def energy(flat):
        x = torch.from_numpy(flat.reshape(1, n, 2))
        return system.energy(x).item(), -system.forces(x).numpy().ravel()

    starts = [rng.normal(size=2 * n) for _ in range(tries)]
    found = [optimize.minimize(energy, start, jac=True, method="L-BFGS-B") for start in starts]
    return min(found, key=lambda one: one.fun).x.reshape(n, 2)


def test_shells_of_rings_are_parted_between_them(rng):
    x = rings(rng, 2000, [(1, 7, 12), (1, 7, 12), (1, 7, 12), (1, 6, 13), (2, 6, 12)])
    profile = shells.radial_distribution(x, 2.5)
    assert profile.density.sum() * (profile.r[1] - profile.r[0]) == pytest.approx(20)
    ends = shells.boundaries(profile)
    assert len(ends) == 2
    assert 0.25 < ends[0] < 0.75
    assert 1.25 < ends[1] < 1.75
    occupied = shells.occupations(x, ends)
    assert (occupied.sum(1) == 20).all()
    patterns = shells.commonest([occupied, occupied[:100]], 3)
    assert patterns[0] == (1, 7, 12)
    assert set(patterns) == {(1, 7, 12), (1, 6, 13), (2, 6, 12)}
    by_pattern = dict(zip(patterns, shells.shares(occupied, patterns)))
    assert by_pattern[1, 7, 12].mean == pytest.approx(0.6)
    assert by_pattern[1, 6, 13].mean == pytest.approx(0.2)
    assert by_pattern[1, 7, 12].stderr == pytest.approx(np.sqrt(0.24 / 2000), rel=0.01)
    assert shells.spelled(patterns[0]) == "(1, 7, 12)"


def test_a_cloud_has_one_shell(rng):
    """Its radial distribution has one maximum; noise has many."""
    x = rng.normal(size=(500, 20, 2))
    assert len(shells.boundaries(shells.radial_distribution(x, 4.0))) == 0


def test_a_cloud_is_parted_in_its_middle(rng):
    """Of normal coordinates half are within sqrt(2 ln 2), and how many of 20 is binomial."""
    x = rng.normal(size=(20000, 20, 2))
    end = shells.middle(x)
    exact = np.sqrt(2 * np.log(2))
    stderr = 1 / (exact * np.sqrt(x[..., 0].size))  # 1 / (2 f sqrt(N)), the density f = exact/2
    assert abs(end[0] - exact) < 4 * stderr
    (share,) = shells.shares(shells.occupations(x, end), [(10, 10)])
    assert abs(share.mean - stats.binom.pmf(10, 20, 0.5)) < 4 * share.stderr


@pytest.mark.parametrize(("n", "pattern"), [(5, (5,)), (6, (1, 5)), (10, (2, 8)), (20, (1, 7, 12))])
def test_ground_states_have_the_shells_of_the_literature(n, pattern, rng):
    """Bedanov & Peeters, Phys. Rev. B 49, 2667 (1994), table I; 20 electrons have (1, 7, 12)."""
    x = ground_state(n) + 0.08 * rng.normal(size=(400, n, 2))  # as a shell is no circle
    ends = shells.boundaries(shells.radial_distribution(x, densities.extent(x)))
    assert shells.commonest([shells.occupations(x, ends)], 1) == [pattern]


@pytest.mark.parametrize("size", [1, 7, 750, 1000])
def test_thinned_configurations_are_of_the_whole_run(size):
    """Rows of the reference are chain after chain: the first of them are of few chains."""
    kept = molecules.thinned(np.arange(size).reshape(-1, 1, 1), 500).ravel()
    assert len(kept) == min(size, 500)
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, size - 1)


def test_independent_electrons_have_no_correlation(rng):
    """g = 1 - 1/n at every distance, for any density, within its errors."""
    x = rng.normal(size=(8000, 5, 2)) * [1.0, 0.6]
    g = correlation.pair_correlation(x, 2.5, bins=20)
    z = (g.density - 0.8) / g.stderr
    assert np.abs(z).max() < 4.5
    assert 0.5 < z.std() < 1.6


def test_two_eigenvalues_repel_as_their_density_says(generator, rng):
    """Of the Ginibre ensemble with n = 2, of which h and the density are known in closed form."""
    z = Ginibre(2).sample(60000, generator, torch.zeros(1, dtype=torch.float64)).numpy()
    g = correlation.pair_correlation(z, 2.5, bins=10)
    edges = np.linspace(0, 2.5, 11)
    # of r = |z_1 - z_2|, whose density is r^3 exp(-r^2 / 2) / 2
    h = np.diff(stats.gamma(2, scale=2).cdf(edges**2))
    # |z|^2 of an eigenvalue is gamma-distributed, with shape 1 or 2
    radius = np.sqrt(rng.gamma(rng.integers(1, 3, size=(2, 2_000_000))))
    other = radius * np.exp(2j * np.pi * rng.random(radius.shape))
    chance = 2 * np.histogram(np.abs(other[0] - other[1]), edges)[0] / radius.shape[1]
    assert np.abs((g.density - h / chance) / g.stderr).max() < 4.5
    assert g.density[0] < 0.05


def test_a_single_electron_has_no_pairs(rng):
    with pytest.raises(ValueError, match="40 samples of 2 electrons, got 100 of 1"):
        correlation.pair_correlation(rng.normal(size=(100, 1, 2)), 1.0)


def test_differences_are_drawn_around_zero(rng):
    from qdflow import plotting

    x = rng.normal(size=(200, 3, 2))
    g = correlation.pair_correlation(x, 2.0, bins=10)
    _, axes = plotting.figure(2, "")
    correlation.show_correlations(axes[0], [g, g], ["a", "b"])
    correlation.show_differences(axes[1], [g._replace(density=0 * g.density)], ["b"])
    assert axes[0].get_legend_handles_labels()[1] == ["a", "b"]
    assert (axes[1].containers[0].lines[0].get_ydata() == 0).all()


def moved(x, rng, mirrored):
    """The same configuration, relabelled, turned and, if wanted, mirrored."""
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    turned = x @ np.array([[c, -s], [s, c]])
    return rng.permutation(turned * [1, -1] if mirrored else turned)


@pytest.mark.parametrize("n", [3, 6, 20])
def test_a_molecule_is_recognised_in_any_orientation(n, rng):
    template = ground_state(n)
    copies = np.stack([moved(template, rng, k % 2) for k in range(20)])
    found = molecules.fitted(copies, template)
    assert found.misfit.max() < 0.01 * molecules.spacing(template)  # its mirror image is close
    assert np.allclose(found.x, template, atol=0.02)


def test_a_configuration_that_is_not_its_mirror_image_is_recognised_in_the_mirror(rng):
    template = rng.normal(size=(6, 2))
    copies = np.stack([moved(template, rng, k % 2) for k in range(20)])
    assert molecules.fitted(copies, template).misfit.max() < 1e-9


def test_the_misfit_is_that_of_the_noise(rng):
    """Of small displacements one turn is fitted away: 2n - 1 of 2n directions are left."""
    n, noise = 6, 0.02
    template = ground_state(n)
    shaken = [moved(template + noise * rng.normal(size=(n, 2)), rng, k % 2) for k in range(400)]
    squares = np.square(molecules.fitted(np.stack(shaken), template).misfit)
    expected = noise**2 * (2 * n - 1) / n
    assert abs(squares.mean() - expected) < 4.5 * squares.std() / 20


def test_a_liquid_fits_worse_than_a_crystal(rng):
    template = ground_state(6)
    liquid = 0.7 * rng.normal(size=(100, 6, 2))
    crystal = template + 0.05 * rng.normal(size=(100, 6, 2))
    misfits = [molecules.fitted(x, template).misfit.mean() for x in (crystal, liquid)]
    assert misfits[1] > 3 * misfits[0]


def test_spacing_and_typical():
    square = np.array([[0, 0], [1, 0], [0, 1], [1, 1.5]])
    assert molecules.spacing(square) == pytest.approx((1 + 1 + 1 + np.sqrt(1.25)) / 4)
    assert molecules.typical(np.array([5.0, 1.0, 3.0])) == 2
