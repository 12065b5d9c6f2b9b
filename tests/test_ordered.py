"""The ordered flow against oracles that share no code with it."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from qdflow import flows
from qdflow.flows._conditionals import Ring, Weibulls, categorical, log_sinhc
from qdflow.flows.ordered import HARD, PLACES
from qdflow.stats import iid_mean
from qdflow.system import TRAPS, System

SMALL = {"width": 8, "heads": 2, "blocks": 2, "components": 3, "modes": 3, "nodes": 16}


def small(generator, n=3, trap="harmonic", **options):
    return flows.build("ordered", System(n, trap), generator, **SMALL | options)


def numbers(*shape, generator):
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def some_gap(generator):
    return Weibulls(*(0.7 * numbers(3, 4, generator=generator)).unbind(0))


def test_the_gap_is_a_mixture_of_weibull_distributions(generator):
    """By scipy's, of w = e^u: p(u) = w p(w)."""
    law = some_gap(generator)
    u = torch.linspace(-8, 3, 50).double()
    ours = law._replace(**{k: v.expand(50, 4) for k, v in law._asdict().items()}).log_prob(u).exp()
    weight, m, log_s = law.log_weight.softmax(-1).numpy(), law.m.numpy(), law.log_s.numpy()
    w = u.exp().numpy()[:, None]
    theirs = (weight * stats.weibull_min.pdf(w, np.exp(-log_s), scale=np.exp(m)) * w).sum(1)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-10)


def test_a_gap_far_out_of_the_mixture_has_finite_gradients():
    law = Weibulls(*(torch.zeros(1, 2, requires_grad=True) for _ in range(3)))
    law.log_prob(torch.tensor([100.0])).backward()
    assert all(t.grad.isfinite().all() for t in law)


def some_ring(generator, scale=3.0, nodes=7):
    return Ring(scale * numbers(nodes, generator=generator))


def density(law, t):
    value = torch.tensor([t], dtype=torch.float64)
    return type(law)(*(p.unsqueeze(0) for p in law)).log_prob(value).exp().item()


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 30.0])
def test_the_ring_is_normalised_whatever_its_nodes(scale, generator):
    ring = some_ring(generator, scale)
    ends = 2 * math.pi * np.arange(8) / 7
    total = sum(quad(lambda t: density(ring, t), a, b, epsabs=1e-13)[0] for a, b in pairwise(ends))
    assert total == pytest.approx(1, abs=1e-10)


def test_the_ring_is_linear_between_its_nodes_and_periodic(generator):
    ring = some_ring(generator)
    at = np.log([density(ring, 2 * math.pi * k / 28) for k in range(29)])
    nodes = ring.log_p.numpy()
    np.testing.assert_allclose(at[::4][:7] - at[0], nodes - nodes[0], atol=1e-12)
    np.testing.assert_allclose(at[26], (at[24] + at[28]) / 2, atol=1e-12)  # across the seam
    assert density(ring, 1.0) == pytest.approx(density(ring, 1.0 - 4 * math.pi), rel=1e-12)


@pytest.mark.parametrize(
    ("law", "low", "high"), [(some_gap, -12.0, 4.0), (some_ring, 0.0, 2 * math.pi)]
)
def test_samples_follow_their_density(law, low, high, generator):
    """Kolmogorov-Smirnov against the distribution function by quadrature."""
    one = law(generator)
    many = type(one)(*(p.expand(20_000, -1) for p in one))
    sample = many.sample(generator).numpy()
    grid = np.linspace(low, high, 2801)
    p = many._replace(**{k: v[:2801] for k, v in many._asdict().items()})
    values = p.log_prob(torch.from_numpy(grid)).exp().numpy()
    cdf = np.concatenate([[0], np.cumsum((values[1:] + values[:-1]) / 2) * (grid[1] - grid[0])])
    assert cdf[-1] == pytest.approx(1, abs=1e-4)
    assert stats.kstest(sample, lambda t: np.interp(t, grid, cdf)).pvalue > 1e-3


def test_a_flat_ring_is_sampled_evenly(generator):
    phi = Ring(torch.zeros(20_000, 5, dtype=torch.float64)).sample(generator).numpy()
    assert stats.kstest(phi / (2 * math.pi), "uniform").pvalue > 1e-3


def test_the_hyperbolic_sine_over_its_argument():
    x = np.array([0.0, 1e-9, 1e-3, 0.0099, 0.0101, 1.0, 20.0, 700.0])
    exact = [math.log(math.sinh(v) / v) if v else 0.0 for v in x]
    for sign in (1, -1):
        ours = log_sinhc(torch.from_numpy(sign * x)).numpy()
        np.testing.assert_allclose(ours, exact, rtol=1e-12, atol=1e-15)
    assert log_sinhc(torch.tensor([1e4], dtype=torch.float64)).isfinite().all()


def test_the_categorical_has_its_weights(generator):
    weight = torch.tensor([0.1, 0.0, 0.6, 0.3], dtype=torch.float64)
    k = categorical(weight.log().expand(20_000, 4), generator)
    counts = np.bincount(k.numpy(), minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]], [2000, 12000, 6000]).pvalue > 1e-3


def test_the_area_element_is_half_of_dw_dphi(generator):
    """det dx / d(w_1, phi_1, ... ) = 2^-n of the map that places the electrons, by autograd."""
    numbers_ = torch.rand(4, 2, dtype=torch.float64, generator=generator) + 0.1

    def place(v):
        r = v[:, 0].cumsum(0).sqrt()
        return torch.stack([r * v[:, 1].cos(), r * v[:, 1].sin()], -1)

    jacobian = torch.autograd.functional.jacobian(place, numbers_).reshape(8, 8)
    assert jacobian.det().abs().item() == pytest.approx(0.5**4, rel=1e-12)
    flow = small(generator, n=4)
    assert flow._log_factor() == pytest.approx(math.log(2**4 / 24), abs=1e-12)


@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_samples_have_the_density_that_is_stated(trap, generator):
    """E_q[N / q] = 1 for a normalised N, here narrow Gaussians: of x as drawn, labels and all."""
    flow = small(generator, n=2, trap=trap, stiffness=0.02)
    with torch.no_grad():
        x, log_q = flow.sample(40_000, generator)
    centre = torch.tensor([[0.6, 0.0], [-0.3, 0.5]], dtype=torch.float64)
    width = 0.6
    log_n = torch.distributions.Normal(centre, width).log_prob(x).sum((1, 2))
    total = iid_mean((log_n - log_q).exp())
    assert total.stderr < 0.03
    assert abs(total.sigmas_from(1)) < 4


@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_the_cache_changes_nothing(trap, generator):
    """ln q as the electrons were placed, and in one pass over all of them."""
    flow = small(generator, n=6, trap=trap)
    with torch.no_grad():
        x, log_q = flow.sample(100, generator)
        torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=1e-10)


def test_later_electrons_change_nothing_before(generator):
    """Causal: the factors of the first electrons do not see the others."""
    flow = small(generator, n=5)
    R = torch.rand(1, 5, dtype=torch.float64, generator=generator).cumsum(1)
    Phi = numbers(1, 5, generator=generator)
    moved = Phi.clone()
    moved[:, 3:] += 1.0
    h, other = (flow._tokens(R, t, [None, None])[0] for t in (Phi, moved))
    torch.testing.assert_close(h[:, :3], other[:, :3], rtol=0, atol=1e-13)
    assert (h[:, 3:] - other[:, 3:]).abs().max() > 1e-3


def energy_of_a_place(place, others, trap):
    """1 / distance to each, term by term, and V of an anisotropic trap."""
    a, b = place
    total = 0.0 if trap == "harmonic" else a**4 + b**4 - a**2 * b**2
    for c, d in others:
        total += ((a - c) ** 2 + (b - d) ** 2 + HARD) ** -0.5
    return total


@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_the_tilt_is_by_the_energy_of_the_place(trap, generator):
    """With the network silenced, ln p at the nodes is -c times the change of H, term by term."""
    flow = small(generator, n=3, trap=trap, stiffness=2.5)
    for layer in (flow.angle.coefficients, flow.angle.log_c):
        layer.weight.data.zero_()
    others, r = [(0.4, -0.2), (0.3, 1.1)], 1.7
    R = torch.tensor([[0.0] + [math.hypot(*y) for y in others]], dtype=torch.float64)
    Phi = torch.tensor([[0.0] + [math.atan2(b, a) for a, b in others]], dtype=torch.float64)
    h, keys = numbers(1, 8, generator=generator), numbers(1, 3, 8, generator=generator)
    ring = flow._ring(h, torch.tensor([r], dtype=torch.float64), keys, R, Phi, 3)
    theta = 2 * math.pi * np.arange(16) / 16
    exact = [energy_of_a_place((r * np.cos(t), r * np.sin(t)), others, trap) for t in theta]
    np.testing.assert_allclose(ring.log_p[0].detach(), -2.5 * np.array(exact), rtol=1e-10)


@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_a_ring_has_its_free_energy(trap, generator):
    """ln sum_phi e^{-c H}, place by place, over that of all rings; the energy with the trap's."""
    flow = small(generator, n=3, trap=trap, stiffness=2.5)
    others = [(0.4, -0.2), (0.3, 1.1)]
    R = torch.tensor([[0.0] + [math.hypot(*y) for y in others]], dtype=torch.float64)
    Phi = torch.tensor([[0.0] + [math.atan2(b, a) for a, b in others]], dtype=torch.float64)
    ours = flow.gap.rings(R, Phi)[0].numpy()
    radii = np.sqrt(0.3**2 + 1.1**2 + np.exp(np.linspace(-3, 1, SMALL["components"])))
    theta = 2 * math.pi * np.arange(PLACES) / PLACES

    def energy(a, b):
        pairs = [((a - c) ** 2 + (b - d) ** 2 + HARD) ** -0.5 for c, d in others]
        return TRAPS[trap].potential(a, b) + sum(pairs)

    total = np.array(
        [sum(math.exp(-2.5 * energy(r * np.cos(t), r * np.sin(t))) for t in theta) for r in radii]
    )
    np.testing.assert_allclose(ours, np.log(total / total.sum()), rtol=1e-10)


def test_ln_q_has_gradients_in_the_positions(generator):
    """By central differences: the rings move with the electrons."""
    flow = small(generator)
    x = numbers(1, 3, 2, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(flow.log_prob(x).sum(), x)
    e = 1e-6 * numbers(1, 3, 2, generator=generator)
    with torch.no_grad():
        change = flow.log_prob(x + e) - flow.log_prob(x - e)
    assert (gradient * 2 * e).sum().item() == pytest.approx(change.item(), rel=1e-5)


def test_the_weights_of_the_gap_follow_the_rings(generator):
    """With the network silenced, ln of the weights is a times the free energies."""
    gap = small(generator).gap
    gap.down.weight.data.zero_()
    gap.down.bias.data[:3] = 0
    gap.down.bias.data[-1] = math.log(0.7)
    G = numbers(1, 3, generator=generator)
    law = gap(numbers(1, 8, generator=generator), G)
    torch.testing.assert_close(law.log_weight, 0.7 * G, rtol=1e-12, atol=0)
    torch.testing.assert_close(law.m[0], torch.tensor([-3.0, -1, 1]).double(), rtol=1e-12, atol=0)


def test_the_series_is_a_sum_over_pairs(generator):
    """sum_jk a cos k(theta - phi_j) + b sin k(theta - phi_j), without the addition theorems."""
    angle = small(generator, stiffness=1e-300).angle
    h, keys = numbers(1, 8, generator=generator), numbers(1, 2, 8, generator=generator)
    R, Phi, r = (torch.tensor(v, dtype=torch.float64) for v in ([[0.3, 0.8]], [[0.4, 2]], [1.1]))
    ours = angle(h, r, keys, R, Phi).log_p[0].detach()
    gelu = torch.nn.functional.gelu
    s = gelu(angle.query(torch.cat([h, r[None], r[None] ** 2], 1)))
    pairs = angle.coefficients(gelu(angle.ask(s)[0] + keys[0])).tolist()
    for m in range(16):
        turns = [2 * math.pi * m / 16 - phi for phi in Phi[0].tolist()]
        exact = sum(
            c[k - 1] * math.cos(k * t) + c[k + 2] * math.sin(k * t)
            for t, c in zip(turns, pairs)
            for k in (1, 2, 3)
        )
        assert ours[m].item() == pytest.approx(exact, abs=1e-12)


def test_electrons_at_one_place_or_radius_have_a_finite_density(generator):
    flow = small(generator)
    x = torch.zeros(2, 3, 2, dtype=torch.float64)
    x[1] = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert flow.log_prob(x).isfinite().all()
