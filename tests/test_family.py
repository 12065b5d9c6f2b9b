"""One flow for all temperatures, and the curves that it gives."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from oracles import one_electron
from test_flows import make

from qdflow import flows
from qdflow.curves import Curve, curve, heat_from_slope, standing
from qdflow.estimate import estimate
from qdflow.family import Family, rebuild
from qdflow.system import System
from qdflow.train import HISTORY, Phase, train

BETAS = (0.5, 0.83, 4.0, 20.0)
PHASES = [Phase(4, 16, 0.02), Phase(4, 24, 0.01, 0.1)]


def family(name="convex", generator=None, degree=3, n=3, temperatures=4):
    """A family whose temperatures differ."""
    generator = generator or torch.Generator().manual_seed(0)
    made = Family(make(name, 0, generator, n), 0.5, 20.0, degree, temperatures)
    for terms in made.terms:
        terms.data += 0.02 * torch.randn(terms.shape, generator=generator, dtype=terms.dtype)
    return made


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("degree", [1, 3])
def test_parameters_are_chebyshev_series_in_ln_beta(beta, degree):
    """Numpy's sum of the series, and at its nodes the polynomial that goes through them."""
    one = family(degree=degree)
    t = np.log(beta**2 / 10) / np.log(40)
    for (name, c_0), c in zip(one.flow.named_parameters(), one.terms):
        series = torch.cat([c_0.unsqueeze(0), c]).detach().numpy()
        theta = one.parameters_at(beta)[name].detach().numpy()
        np.testing.assert_allclose(theta, np.polynomial.chebyshev.chebval(t, series), atol=1e-12)
        nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
        at_nodes = [
            one.parameters_at(float(np.sqrt(10) * 40 ** (x / 2)))[name].detach().numpy().ravel()
            for x in nodes
        ]
        through = np.polynomial.polynomial.polyfit(nodes, np.stack(at_nodes), degree)
        value = np.polynomial.polynomial.polyval(t, through)
        np.testing.assert_allclose(theta.ravel(), value, atol=1e-11)


@pytest.mark.parametrize("name", flows.NAMES)
@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_a_member_is_the_flow_with_these_parameters(name, beta):
    """Whatever the architecture: its samples, ln q, signs and attributes."""
    one = family(name)
    member, alone = one.at(beta), make(name, 0, torch.Generator().manual_seed(0))
    alone.load_state_dict({k: v.detach() for k, v in one.parameters_at(beta).items()}, strict=False)
    for with_gradient in (True, False):
        with torch.set_grad_enabled(with_gradient):
            ours, theirs = (f.draw(6, torch.Generator().manual_seed(1)) for f in (member, alone))
        for a, b in zip(ours, theirs):
            assert torch.equal(a, b)
    same = torch.Generator().manual_seed(1)
    if name != "leapfrog":  # whose log_prob is random
        assert torch.equal(member.log_prob(ours.x), alone.log_prob(ours.x))
    for key in ("claim", "symmetry", "exact_log_prob", "reparametrised", "width"):
        assert getattr(member, key) == getattr(alone, key)
    if alone.reparametrised:
        z = alone.base.sample(3, same, ours.x)
        z = torch.cat([z, z], 2)[..., : alone.width]
        x = alone.transform(z)[0]
        assert torch.equal(member.transform(z)[0], x)
        assert torch.equal(member.image(z).log_q, alone.image(z).log_q)
    if alone.exact_inverse:
        assert member.exact_inverse
        assert torch.equal(member.inverse(x), alone.inverse(x))
    if alone.width > 2:
        ours, theirs = (
            f.extended(x[..., :2], torch.Generator().manual_seed(2)) for f in (member, alone)
        )
        assert torch.equal(ours, theirs)


def test_ladj_of_a_member_is_that_of_the_autograd_jacobian(generator):
    member = family().at(3.0)
    z = torch.randn(1, 3, 2, dtype=torch.float64, generator=generator)
    jacobian = torch.autograd.functional.jacobian(lambda v: member.transform(v)[0], z)
    exact = torch.linalg.slogdet(jacobian.reshape(6, 6)).logabsdet
    torch.testing.assert_close(member.transform(z)[1][0], exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["convex", "ordered"])
def test_gradients_reach_every_coefficient(name, generator):
    one = family(name)
    x, log_q = one.at(3.0).sample(16, generator)
    (System(3).energy(x) + log_q / 3).mean().backward()
    for label, parameter in one.named_parameters():
        each = parameter.grad[None] if label.startswith("flow") else parameter.grad
        assert (each.flatten(1).abs().sum(1) > 0).all() if each.ndim > 1 else each.all(), label


def test_a_family_starts_alike_at_all_temperatures(generator):
    flow = make("convex", 0, generator)
    one = Family(flow, 0.5, 20.0, 2)
    for beta in BETAS:
        for name, theta in one.parameters_at(beta).items():
            assert torch.equal(theta, flow.get_parameter(name))


def test_a_parameter_that_is_best_near_ln_beta_starts_there(generator):
    one = Family(make("ordered", 0, generator), 0.5, 20.0, 2)
    for beta in BETAS:
        assert one.parameters_at(beta)["angle.log_c.bias"].item() == pytest.approx(math.log(beta))


def test_each_step_has_one_beta_in_each_part(generator):
    one = family(temperatures=5)
    drawn = np.log([one.betas(generator) for _ in range(2000)]) - math.log(0.5)
    part = drawn / math.log(40) * 5
    assert (np.floor(part) == np.arange(5)).all()
    within = (part - np.arange(5)).ravel()  # uniform: its mean is 1/2, its variance 1/12
    assert abs(within.mean() - 0.5) < 4 * (12 * within.size) ** -0.5
    assert within.var() == pytest.approx(1 / 12, rel=0.05)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((2.0, 2.0, 1), "beta from 2.0 to 2.0 is no range; take 0 < low < high"),
        ((0.0, 2.0, 1), "is no range"),
        ((1.0, 2.0, 0), "degree is 0 and temperatures is 4; both must be at least 1"),
        ((1.0, 2.0, 1, 0), "temperatures is 0; both must"),
    ],
)
def test_what_is_no_family_is_refused(options, sentence, generator):
    with pytest.raises(ValueError, match=sentence):
        Family(make("convex", 0, generator), *options)


def test_a_saved_family_is_rebuilt_at_any_beta(generator):
    options = {"low": 0.5, "high": 20.0, "degree": 1, "temperatures": 2}
    model = {"architecture": {"flow": "ordered", "width": 8}, "system": {"n": 2}}
    one = Family(flows.build("ordered", System(2), generator, width=8), **options)
    for terms in one.terms:
        terms.data += 0.1
    again = rebuild(model | {"family": options, "parameters": one.state_dict()}, 4.0)
    alone = rebuild(model | {"parameters": one.flow.state_dict()}, 4.0)
    x = torch.randn(5, 2, 2, dtype=torch.float64, generator=generator)
    assert torch.equal(again.log_prob(x), one.at(4.0).log_prob(x))
    assert torch.equal(alone.log_prob(x), one.flow.log_prob(x))
    assert not torch.equal(alone.log_prob(x), again.log_prob(x))


def test_a_beta_outside_of_the_range_is_refused():
    with pytest.raises(ValueError, match=r"beta is 21, outside of the family's 0\.5 to 20"):
        family().at(21.0)


def test_one_electron_is_learned_at_all_temperatures(generator):
    """A Gaussian whose ln width is linear in ln beta: one training, and all F(beta) are exact."""
    system = System(1)
    one = Family(flows.build("convex", system, generator, layers=1, ramps=1), 0.5, 20.0, 1)
    train(one, system, math.nan, [Phase(80, 32, 0.1, 0.02)], generator, clip=10)
    for beta in BETAS:
        F = estimate(one.at(beta), system, beta, 5000, generator).estimates["F"]
        exact, _ = one_electron("harmonic", beta)
        assert F.sigmas_from(exact) > -4
        assert beta * (F.mean - exact) < 0.02


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop", [2, 4])
def test_a_family_resumes_at_the_same_bits(tmp_path, stop):
    def start(seed):
        g = torch.Generator().manual_seed(seed)
        return family(generator=g, temperatures=2), g

    whole, generator = start(0)
    history = train(whole, System(3), math.nan, PHASES, generator)
    assert list(history) == list(HISTORY)
    assert history["F_below"] == pytest.approx([math.nan] * 8, nan_ok=True)

    def interrupt(done, _total, _news):
        if done == stop + 1:
            raise Interrupted

    saved = tmp_path / "saved.pt"
    one, generator = start(0)
    with pytest.raises(Interrupted):
        train(one, System(3), math.nan, PHASES, generator, math.inf, saved, 0, interrupt)
    fresh, generator = start(5)
    again = train(fresh, System(3), math.nan, PHASES, generator, saved=saved)
    for a, b in zip(fresh.parameters(), whole.parameters()):
        assert torch.equal(a, b)
    assert again["F"] == history["F"]


def test_a_step_of_a_family_is_the_mean_of_its_temperatures(generator):
    """The same random numbers, taken by hand; the batch is split evenly."""
    one, system = family(), System(3)
    again = torch.Generator()
    again.set_state(generator.get_state())
    betas = one.betas(again)
    F, loss = [], 0
    for beta in betas:
        x, log_q = one.at(beta).sample(6, again)
        F.append((system.energy(x) + log_q / beta).detach())
        loss = loss + (system.energy(x) + log_q / beta).mean() / 4
    gradients = torch.autograd.grad(loss, list(one.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm().item()
    history = train(one, system, math.nan, [Phase(1, 24, 0.01)], generator)
    assert history["F"][0] == pytest.approx(torch.cat(F).mean().item(), rel=1e-12)
    error = math.sqrt(sum(f.var().item() / 6 for f in F)) / 4
    assert history["F_stderr"][0] == pytest.approx(error, rel=1e-12)
    assert history["gradient_norm"][0] == pytest.approx(norm, rel=1e-9)


def test_a_family_has_no_forward_bound(generator):
    x = torch.ones(5, 3, 2)
    with pytest.raises(ValueError, match="a family has no forward bound"):
        train(family(), System(3), 1.0, [Phase(1, 8, 0.1, 1, 0.5)], generator, reference=x)


def test_differences_are_taken_at_common_betas():
    one = Curve(np.array([1.0, 2, 4]), np.array([10.0, 20, 40]), np.array([3.0, 3, 3]))
    two = Curve(np.array([2.0, 3, 4]), np.array([19.0, 0, 38]), np.array([4.0, 4, 4]))
    gap = one.minus(two)
    np.testing.assert_array_equal(gap, [[2, 4], [1, 2], [5, 5]])


def test_the_slope_of_the_energy_is_the_specific_heat():
    """<E> = 3 T^2, whose C is 6 T; the error is that of the difference."""
    beta = np.geomspace(0.5, 20, 60)
    C = heat_from_slope(Curve(beta, 3 / beta**2, 0.01 / beta))
    np.testing.assert_allclose(C.mean, 6 / C.beta, rtol=3e-3)
    T = 1 / beta
    error = 0.01 * np.hypot(T[1:], T[:-1]) / -np.diff(T)
    np.testing.assert_allclose(C.stderr, error, rtol=3e-3)


def test_a_curve_leaves_out_what_is_no_bound():
    rows = pd.DataFrame(
        {
            "quantity": ["F", "E", "F", "E"],
            "beta": [2.0, 2.0, 1.0, 1.0],
            "mean": [5.0, 6.0, 7.0, 8.0],
            "stderr": 0.1,
            "verdict": [
                "failed: below",
                "failed: below",
                "by construction: x",
                "by construction: x",
            ],
        }
    )
    assert curve(rows, "F").mean.tolist() == [7.0]
    assert curve(rows, "E").mean.tolist() == [8.0, 6.0]
    assert standing(rows) == "failed at β = 2"
    assert standing(rows.iloc[2:]) == "by construction"
