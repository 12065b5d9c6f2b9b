"""The contract of all architectures, which are found by themselves, and what is theirs alone."""

import math

import pytest
import torch

from qdflow import checkpoint, flows
from qdflow.bases import Gaussian
from qdflow.estimate import estimate
from qdflow.flows.base import minority_fraction
from qdflow.flows.mlp import ACTIVATIONS, InverseError
from qdflow.inverse import newton
from qdflow.system import System

OPTIONS = {"mlp": {"hidden": [8, 10]}}  # small enough for three electrons and a test


def _straighten(flow, generator):
    """Bring an MLP near an injective map: orthogonal layers, softplus where it is nearly linear."""
    for k, (W, b) in enumerate(zip(flow.weights, flow.biases)):
        torch.nn.init.orthogonal_(W.data, generator=generator)
        b.data.fill_(8.0 if k < len(flow.weights) - 1 else 0.0)


# A flow that is injective only for some parameters is brought there; no entry: nothing to do.
PREPARE = {"mlp": _straighten}
CASES = [(name, trap) for name in flows.NAMES for trap in ("harmonic", "quartic")]


def make(name, system, generator):
    return flows.build(name, system, generator, **OPTIONS.get(name, {}))


@pytest.mark.parametrize(("name", "trap"), CASES)
def test_samples_have_their_shapes_and_seed(name, trap, generator):
    flow = make(name, System(3, trap), generator)
    x, log_q = flow.sample(7, generator)
    assert (x.shape, log_q.shape) == ((7, 3, 2), (7,))
    assert x.isfinite().all()
    assert log_q.isfinite().all()
    one, two = (flow.sample(7, torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", flows.NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_keep_the_precision_of_the_parameters(name, dtype, generator):
    flow = make(name, System(3), generator).to(dtype)
    assert {t.dtype for t in flow.draw(4, generator)} == {dtype}


@pytest.mark.parametrize("name", flows.NAMES)
def test_log_q_is_that_of_the_inverse(name, generator):
    flow = make(name, System(3), generator)
    PREPARE.get(name, lambda *_: None)(flow, generator)
    x, log_q = flow.sample(200, generator)
    torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", flows.NAMES)
def test_log_prob_has_the_gradient_of_finite_differences(name, generator):
    """In every parameter, and in x: what maximum likelihood would follow."""
    flow = make(name, System(3), generator)
    PREPARE.get(name, lambda *_: None)(flow, generator)
    x = flow.sample(5, generator)[0].detach().requires_grad_()
    leaves = [x, *flow.parameters()]
    gradients = torch.autograd.grad(flow.log_prob(x).sum(), leaves)
    for leaf, gradient in zip(leaves, gradients):
        direction = torch.randn(leaf.shape, dtype=leaf.dtype, generator=generator)
        values = []
        for step in (1e-5, -1e-5):
            leaf.data += step * direction
            values.append(flow.log_prob(x).sum().item())
            leaf.data -= step * direction
        measured = (values[0] - values[1]) / 2e-5
        assert (gradient * direction).sum().item() == pytest.approx(measured, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", flows.NAMES)
def test_gradients_reach_every_parameter(name, generator):
    system = System(3)
    flow = make(name, system, generator)
    x, log_q = flow.sample(16, generator)
    (system.energy(x) + log_q / 2).mean().backward()
    for label, parameter in flow.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", flows.NAMES)
def test_saved_and_loaded_flows_are_the_same(name, generator, tmp_path):
    flow = make(name, System(3), generator)
    checkpoint.save({"parameters": flow.state_dict()}, tmp_path / "flow.pt")
    other = make(name, System(3), torch.Generator().manual_seed(99))
    other.load_state_dict(checkpoint.load(tmp_path / "flow.pt")["parameters"])
    for a, b in zip(*(f.sample(5, torch.Generator().manual_seed(1)) for f in (flow, other))):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", flows.NAMES)
def test_a_misspelt_option_fails(name, generator):
    with pytest.raises(TypeError, match="hiden"):
        flows.build(name, System(2), generator, hiden=[8])


def test_an_unknown_flow_fails(generator):
    with pytest.raises(ValueError, match=r"unknown flow 'mpl'; choose from .*mlp"):
        flows.build("mpl", System(2), generator)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [[], [6], [8, 10], [7, 6, 9]])
def test_product_form_is_the_autograd_jacobian(activation, hidden, generator):
    flow = flows.build(
        "mlp", System(3), generator, hidden=hidden, activation=activation, weight_std=0.7
    )
    z = torch.randn(5, 6, dtype=torch.float64, generator=generator)
    _, jacobian = flow.mapping(z)
    for k in range(5):
        one = torch.autograd.functional.jacobian(lambda v: flow.mapping(v[None])[0][0], z[k])
        torch.testing.assert_close(jacobian[k], one)
    draw = flow.draw(5, torch.Generator().manual_seed(3))
    z = flow.base.sample(5, torch.Generator().manual_seed(3), like=z)
    sign, ladj = torch.linalg.slogdet(flow.mapping(z.flatten(1))[1])
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    torch.testing.assert_close(draw.log_q, normal - ladj)
    assert torch.equal(draw.sign, sign)


def test_initial_parameters_are_truncated_normal(generator):
    flow = flows.build("mlp", System(20), generator, hidden=[64, 64])
    weights = torch.cat([w.detach().flatten() for w in flow.weights])
    biases = torch.cat([b.detach().flatten() for b in flow.biases])
    # the standard deviation of a normal cut at +-2 is 0.8796 of the uncut one
    assert weights.std().item() == pytest.approx(0.0880, rel=0.03)
    assert biases.std().item() == pytest.approx(0.880, rel=0.15)
    assert weights.abs().max() <= 0.2
    assert 1 < biases.abs().max() <= 2


def test_layers_too_narrow_are_refused(generator):
    with pytest.raises(ValueError, match=r"\[64, 39\] are narrower than the 40 coordinates"):
        flows.build("mlp", System(20), generator, hidden=[64, 39])
    with pytest.raises(ValueError, match="unknown activation 'relu'"):
        flows.build("mlp", System(2), generator, activation="relu")


def test_an_injective_mlp_is_normalised(generator):
    """One electron, square layers and a bijective activation: the density integrates to 1."""
    flow = flows.build("mlp", System(1), generator, hidden=[2], activation="asinh")
    for W, b in zip(flow.weights, flow.biases):
        torch.nn.init.orthogonal_(W.data, generator=generator)
        b.data.uniform_(-0.5, 0.5, generator=generator)
    axis = torch.linspace(-3.2, 3.2, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis).unsqueeze(1)
    total = flow.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-4)


def test_a_planted_fold_is_seen_by_its_signs(generator):
    """Random weights of order 1, as nobody would start from, fold the space."""
    flow = flows.build("mlp", System(2), generator, hidden=[8, 8], weight_std=1.0)
    assert minority_fraction(flow.draw(2000, generator).sign) > 0.01
    result = estimate(flow, System(2), 10.0, 2000, generator)
    assert result.verdict.startswith("failed: det J changes sign on")
    assert result.estimates["minority_sign"].mean > 0.01


def test_no_preimage_is_an_error_not_a_number(generator):
    flow = flows.build("mlp", System(2), generator, hidden=[4], activation="tanh")
    with pytest.raises(InverseError, match="no preimage found for 3 of 3"):
        flow.log_prob(torch.full((3, 2, 2), 1e3, dtype=torch.float64))


def test_newton_solves_a_known_map(generator):
    def sinh(z):
        return z.sinh(), torch.diag_embed(z.cosh())

    z = 3 * torch.randn(50, 4, dtype=torch.float64, generator=generator)
    found, solved = newton(sinh, z.sinh(), torch.zeros_like(z), tolerance=1e-10)
    assert solved.all()
    torch.testing.assert_close(found, z)


def test_the_base_is_a_standard_normal(generator):
    base, like = Gaussian(3), torch.zeros(1, dtype=torch.float64)
    z = base.sample(20000, generator, like)
    assert z.mean().abs() < 4 / math.sqrt(120000)
    assert (z.square().mean() - 1).abs() < 4 * math.sqrt(2 / 120000)
    torch.testing.assert_close(
        base.log_prob(z), torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    )
