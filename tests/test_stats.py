import numpy as np
import pytest

from qdflow.coverage import autoregressive
from qdflow.stats import (
    Estimate,
    chain_mean,
    effective_share,
    iid_mean,
    pareto_k,
    power_law,
    proportion,
    r_hat,
    squares_about_mean,
    unseen_squares,
)


def test_iid_mean_is_the_textbook_formula(rng):
    x = rng.normal(3, 2, 1000)
    e = iid_mean(x)
    assert e == pytest.approx((x.mean(), x.std(ddof=1) / 1000**0.5, 1000))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_effective_sample_size_of_chains_is_the_known_one(rho, rng):
    found = [chain_mean(autoregressive(rng, 8, 1000, rho)).ess for _ in range(50)]
    assert np.median(found) == pytest.approx(8000 * (1 - rho) / (1 + rho), rel=0.1)


def test_error_grows_when_chains_disagree(rng):
    chains = rng.normal(size=(8, 1000))
    before = chain_mean(chains)
    chains[3] += 3
    after = chain_mean(chains)
    assert r_hat(chains) > 1.1
    assert after.stderr > 5 * before.stderr


def test_r_hat_of_one_distribution_is_one(rng):
    assert r_hat(rng.normal(size=(8, 2000))) == pytest.approx(1, abs=0.003)


def test_a_constant_is_known_exactly():
    assert chain_mean(np.full((4, 100), 2.5)) == (2.5, 0.0, 400)
    assert r_hat(np.full((4, 100), 2.5)) == 1


def test_proportions_near_zero_keep_an_error():
    assert proportion(0.0, 1000).stderr > 1e-3
    assert proportion(0.3, 10**6).stderr == pytest.approx((0.21 / 10**6) ** 0.5, rel=1e-4)


def test_the_error_of_a_share_is_that_of_leaving_out_each_sample(rng):
    log_weight = rng.uniform(-1, 1, size=50)  # without a tail, nothing is yet to come
    w = np.exp(log_weight)
    without = [np.delete(w, k) for k in range(50)]
    shares = np.array([v.sum() ** 2 / (49 * (v**2).sum()) for v in without])
    e = effective_share(log_weight - 1000)
    assert e.mean == pytest.approx(w.sum() ** 2 / (50 * (w**2).sum()))
    assert e.stderr == pytest.approx(np.sqrt(49 / 50 * np.square(shares - shares.mean()).sum()))


def test_the_largest_of_heavy_weights_stands_for_those_to_come(rng):
    """The mean beyond any point of a Pareto tail of shape 2k is 1 / (1 - 2k) times that point."""
    k, light = 0.3, rng.uniform(size=50_000)
    assert unseen_squares(k * rng.exponential(size=200_000)) == pytest.approx(2.5**2 - 1, rel=0.2)
    assert unseen_squares(light) == 0
    assert unseen_squares(2 * rng.exponential(size=1000)) == pytest.approx(5.0**2 - 1)


def test_a_share_that_hangs_on_one_weight_says_so():
    values = np.zeros(1000)
    assert effective_share(values) == (1.0, 0.0, 1000)
    values[3] = 2000.0
    e = effective_share(values)
    assert e.mean == pytest.approx(1e-3)
    assert e.stderr > 0.9


@pytest.mark.parametrize("k", [0.3, 0.7, 1.5])
def test_the_shape_of_a_pareto_tail_is_found(k, rng):
    e = pareto_k(k * rng.exponential(size=100_000) - 1e4)
    assert abs(e.sigmas_from(k)) < 3
    assert e.stderr < 0.1


def test_weights_without_a_shape_have_none():
    assert pareto_k(np.zeros(1000)) is None
    assert pareto_k(np.linspace(-1e5, 0, 1000)) is None
    assert pareto_k(np.arange(24.0)) is None


def test_intervals_of_exponents_cover_the_truth():
    rng = np.random.default_rng(4)
    x = np.array([6, 20, 50, 100, 200, 400, 1000])
    fits = [power_law(x, 3 * x**2.5 * np.exp(0.1 * rng.normal(size=7))) for _ in range(500)]
    covered = np.mean([abs(fit.sigmas_from(2.5)) < 2.571 for fit in fits])  # t, 5 degrees
    assert 0.92 <= covered <= 0.98
    assert power_law(x, 7 * x**-0.5).mean == pytest.approx(-0.5)


def test_squares_about_the_mean_average_to_the_variance(rng):
    x = rng.exponential(size=(3, 4))
    assert squares_about_mean(x).mean() == pytest.approx(x.var(ddof=1))
    assert squares_about_mean(x).shape == x.shape


def test_refusals():
    with pytest.raises(ValueError, match="1 of 3 samples are not finite"):
        iid_mean([1, 2, np.inf])
    with pytest.raises(ValueError, match=r"at least 2 chains of 4 draws, got \(1, 100\)"):
        chain_mean(np.zeros((1, 100)))
    with pytest.raises(ValueError, match="at least 2 samples"):
        iid_mean([1.0])
    with pytest.raises(ValueError, match="at least 3 samples, got 2"):
        effective_share([0.0, 1.0])
    with pytest.raises(ValueError, match="needs 3 points, got 2"):
        power_law([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(157.5632, 0.0042, 10), "157.563(4)"),
        (Estimate(157.56372, 0.0017, 10), "157.5637(17)"),
        (Estimate(0.138629436111, 5e-19, 10), "0.138629436(0)"),
        (Estimate(167.4, 12.0, 10), "167(12)"),
        (Estimate(-1.5, 0.0, 10), "-1.5(0)"),
    ],
)
def test_numbers_are_printed_with_their_error(estimate, text):
    assert str(estimate) == text


def test_sigmas():
    assert Estimate(2.0, 0.5, 9).sigmas_from(1.0) == 2
    assert Estimate(2.0, 0.0, 9).sigmas_from(2.0) == 0
    assert Estimate(2.0, 0.0, 9).sigmas_from(1.0) == np.inf
