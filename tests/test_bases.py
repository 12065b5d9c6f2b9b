"""What z is drawn from, against densities and moments that are known otherwise."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import gamma, kstest

from qdflow import bases
from qdflow.stats import iid_mean

LIKE = torch.zeros(1, dtype=torch.float64)
every_base = pytest.mark.parametrize("name", bases.BASES)


@every_base
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_have_their_shape_precision_and_seed(name, dtype):
    base = bases.build(name, 4)
    like = torch.zeros(1, dtype=dtype)
    one, two = (base.sample(9, torch.Generator().manual_seed(k), like) for k in (5, 5))
    assert torch.equal(one, two)
    assert (one.shape, one.dtype) == ((9, 4, 2), dtype)
    assert base.log_prob(one).shape == (9,)
    assert base.log_prob(one.unsqueeze(0)).dtype == dtype


@every_base
@pytest.mark.parametrize("n", [1, 2])
def test_the_density_integrates_to_one(name, n):
    """By the trapezoidal rule in 2 or 4 dimensions, which for such functions is nearly exact."""
    half, step = (8.0, 0.8) if name == "gaussian" else (6.0, 0.5)
    axis = torch.arange(-half, half + step / 2, step, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * (2 * n)).unflatten(1, (n, 2))
    total = bases.build(name, n).log_prob(z).exp().sum() * step ** (2 * n)
    assert total.item() == pytest.approx(1, abs=1e-9)


@every_base
def test_the_density_knows_no_labels_and_no_directions(name, generator):
    base = bases.build(name, 20)
    z = base.sample(50, generator, LIKE)
    log_q = base.log_prob(z)
    c, s = math.cos(0.7), math.sin(0.7)
    for image in (
        z[:, torch.randperm(20, generator=generator)],
        z @ torch.tensor([[c, s], [-s, c]], dtype=z.dtype),
        z * torch.tensor([1.0, -1.0], dtype=z.dtype),
    ):
        torch.testing.assert_close(base.log_prob(image), log_q, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_ginibres_density_is_a_slater_determinant(n, generator):
    """(1/n!) |det phi_k(z_j)|^2 with the orthonormal phi_k = z^k e^{-|z|^2 / 2} / sqrt(pi k!)."""
    base = bases.Ginibre(n)
    z = base.sample(6, generator, LIKE)
    w, k = torch.view_as_complex(z).numpy()[:, None, :], np.arange(n)[:, None]
    factorials = np.array([math.factorial(m) for m in range(n)], dtype=float)[:, None]
    phi = w**k * np.exp(-(abs(w) ** 2) / 2) / np.sqrt(np.pi * factorials)
    exact = 2 * np.linalg.slogdet(phi)[1] - math.lgamma(n + 1)
    torch.testing.assert_close(base.log_prob(z), torch.from_numpy(exact), rtol=0, atol=1e-8)


@pytest.mark.parametrize("n", [1, 20])
def test_ginibres_radii_have_their_moments(n, generator):
    """Without order the r_i^2 are independent, of Gamma(k), k = 1 ... n (Kostlan 1992)."""
    r2 = bases.Ginibre(n).sample(4000, generator, LIKE).square().sum(2)
    assert abs(iid_mean(r2.mean(1)).sigmas_from((n + 1) / 2)) < 4
    assert abs(iid_mean(r2[:, 0]).sigmas_from((n + 1) / 2)) < 4  # of every label alike
    assert abs(iid_mean(r2[:, -1]).sigmas_from((n + 1) / 2)) < 4
    exact = torch.digamma(torch.arange(1, n + 1, dtype=torch.float64)).mean().item()
    assert abs(iid_mean(r2.log().mean(1)).sigmas_from(exact)) < 4
    assert kstest(r2.amin(1).numpy(), _lowest(n)).pvalue > 1e-3


def _lowest(n):
    """The distribution of the least of independent Gamma(k), k = 1 ... n."""
    return lambda r2: 1 - np.prod([gamma(k).sf(r2) for k in range(1, n + 1)], axis=0)


def test_two_ginibre_electrons_keep_their_distance(generator):
    """w = (z_1 - z_2) / sqrt 2 has the density |w|^2 e^{-|w|^2} / pi: |w|^2 is of Gamma(2)."""
    z = bases.Ginibre(2).sample(4000, generator, LIKE)
    w2 = (z[:, 0] - z[:, 1]).square().sum(1) / 2
    assert kstest(w2.numpy(), gamma(2).cdf).pvalue > 1e-3


def test_the_gaussian_is_a_standard_normal(generator):
    base = bases.Gaussian(3)
    z = base.sample(20000, generator, LIKE)
    assert z.mean().abs() < 4 / math.sqrt(120000)
    assert (z.square().mean() - 1).abs() < 4 * math.sqrt(2 / 120000)
    torch.testing.assert_close(
        base.log_prob(z), torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    )


def test_an_unknown_base_fails():
    with pytest.raises(ValueError, match="unknown base 'uniform'; choose from gaussian, ginibre"):
        bases.build("uniform", 2)
