"""The contract of all architectures, which are found by themselves, and what is theirs alone."""

import inspect
import math
import time

import pytest
import torch

from qdflow import bases, checkpoint, flows
from qdflow.estimate import estimate
from qdflow.flows._dense import ACTIVATIONS, DenseFlow, InverseError
from qdflow.flows.base import Flow, minority_fraction
from qdflow.flows.rotation import turning
from qdflow.inverse import continued, newton
from qdflow.stats import iid_mean
from qdflow.system import TRAPS, System

# Small enough for three electrons and a test; every variant keeps the same contract.
VARIANTS = {
    "autoregressive": [{"hidden": [12, 12]}, {"hidden": [12], "layers": 3}],
    "convex": [{"layers": 2, "ramps": 3}, {"layers": 1, "ramps": 2, "base": "gaussian"}],
    "leapfrog": [
        {"layers": 2, "radial": 3},
        {"layers": 1, "radial": 2, "base": "gaussian"},
        {"layers": 3, "radial": 2, "refresh": 2},
    ],
    "mlp": [{"hidden": [8, 10]}, {"hidden": [6], "activation": "asinh"}],
    "ordered": [
        {"width": 8, "heads": 2, "blocks": 2, "components": 3, "modes": 3, "nodes": 12},
        {"width": 6, "heads": 1, "blocks": 1, "components": 1, "modes": 2, "stiffness": 1.0},
    ],
    "permutation": [
        {"channels": [2, 2]},
        {"channels": [4, 3], "activation": "softplus"},
        {"channels": [4], "rotation": True},
        {"channels": [3, 2], "tied": True, "activation": "softplus"},
        {"channels": [4, 2], "tied": True, "rotation": True},
    ],
    "rotation": [{"hidden": [3, 3]}, {"hidden": [4], "activation": "tanh", "leader_std": 0.1}],
    "transformer": [{"hidden": [8], "width": 6, "heads": 3}, {"hidden": [6], "blocks": 2}],
}
# Bijections of the plane, or near one: all of it has a preimage.
ONE_ELECTRON = {
    "mlp": {"hidden": [2], "activation": "asinh", "weight_std": 1.0},
    "ordered": {"width": 4, "heads": 1, "components": 1},  # no peak that the grid would miss
    "permutation": {"channels": [2]},
    "rotation": {"hidden": [1], "weight_std": 1.0, "leader_std": 1.0},
    "transformer": {"hidden": [], "width": 4},
}
CASES = [(name, k) for name in flows.NAMES for k in range(len(VARIANTS.get(name, [{}])))]
AUGMENTED = [name for name in flows.NAMES if flows.load(name).width > 2]
EXACT = [
    name for name in flows.NAMES if flows.build(name, System(2), torch.Generator()).exact_log_prob
]
MAPS = [  # flows with a map z -> x; the others draw their samples otherwise, and say so
    case for case in CASES if flows.build(case[0], System(2), torch.Generator()).reparametrised
]
every_flow = pytest.mark.parametrize(("name", "variant"), CASES)
every_map = pytest.mark.parametrize(("name", "variant"), MAPS)


def _straighten(flow, generator):
    """Bring an MLP near an injective map: orthogonal layers, softplus where it is nearly linear."""
    for k, (W, b) in enumerate(zip(flow.weights, flow.biases)):
        torch.nn.init.orthogonal_(W.data, generator=generator)
        b.data.fill_(8.0 if k < len(flow.weights) - 1 else 0.0)


def _wake(flow, generator):
    """Blocks that do something, after an MLP that is injective."""
    _straighten(flow.mlp, generator)
    for block in flow.blocks:
        block.W_out.data += 0.05 * torch.randn(block.W_out.shape, generator=generator)


def _push(flow, generator):
    """Forces of all terms, and of different strength."""
    for radial in filter(None, (flow.forces.phi, flow.forces.chi, flow.forces.tau)):
        radial.c.data += 0.1 * torch.randn(radial.c.shape, generator=generator)


def _stretch(flow, generator):
    """Tied layers whose s is not 1."""
    if flow.log_s is not None:
        flow.log_s.data += 0.3 * torch.randn(flow.log_s.shape, generator=generator)


# What is injective or reaches all its parameters only for some of them is brought there.
PREPARE = {
    "leapfrog": _push,
    "mlp": _straighten,
    "permutation": _stretch,
    "transformer": _wake,
}


def make(name, variant, generator, n=3, trap="harmonic"):
    options = VARIANTS.get(name, [{}])[variant]
    flow = flows.build(name, System(n, trap), generator, **options)
    PREPARE.get(name, lambda *_: None)(flow, generator)
    return flow


def turned(degrees, x):
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[c, s], [-s, c]], dtype=x.dtype)


# What a flow may claim as its symmetry: x (size, n, 2) -> its image under one element.
ACTIONS = {
    "permutation": lambda x: x.roll(1, 1),
    "c4": lambda x: turned(90, x),
    "c4v": lambda x: turned(90, x) * torch.tensor([1.0, -1.0], dtype=x.dtype),
    "c2": lambda x: turned(180, x),
    "c2v": lambda x: x * torch.tensor([1.0, -1.0], dtype=x.dtype),
    "o2": lambda x: turned(37, x) * torch.tensor([1.0, -1.0], dtype=x.dtype),
    "rotation": lambda x: turned(37, x),
}


def acted(symmetry, z):
    """Positions and momenta move alike."""
    return torch.cat([ACTIONS[symmetry](part) for part in z.split(2, dim=-1)], -1)


IMPLIED = {
    "o2": {"rotation", "c4", "c4v", "c2", "c2v"},
    "rotation": {"c4", "c2"},
    "c4v": {"c4", "c2", "c2v"},
    "c4": {"c2"},
    "c2v": {"c2"},
}


def claimed(flow):
    """What a flow says it has; who has all rotations has the quarter turns."""
    names = set(flow.symmetry.split("+")) - {"none"}
    return names.union(*(IMPLIED.get(name, set()) for name in names))


def violation(flow, symmetry, generator):
    """The most that the map, or without one the density, misses the symmetry by."""
    if not flow.reparametrised:
        x, log_q = flow.sample(50, generator)
        return (flow.log_prob(acted(symmetry, x)) - log_q).abs().max().item()
    z = torch.randn(50, flow.base.n, flow.width, dtype=torch.float64, generator=generator)
    x, ladj, _ = flow.transform(z)
    image, ladj_image, _ = flow.transform(acted(symmetry, z))
    miss = (image - acted(symmetry, x)).abs().max(), (ladj_image - ladj).abs().max()
    return max(miss).item()


@every_flow
def test_samples_have_their_shapes_and_seed(name, variant, generator):
    flow = make(name, variant, generator, trap="quartic")
    x, log_q = flow.sample(7, generator)
    assert (x.shape, log_q.shape) == ((7, 3, 2), (7,))
    assert x.isfinite().all()
    assert log_q.isfinite().all()
    one, two = (flow.sample(7, torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(one, two)


@every_flow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_keep_the_precision_of_the_parameters(name, variant, dtype, generator):
    flow = make(name, variant, generator).to(dtype)
    assert {t.dtype for t in flow.draw(4, generator)} == {dtype}
    assert flow.log_prob(flow.draw(4, generator).x).dtype == dtype


@every_map
def test_ladj_is_that_of_the_autograd_jacobian(name, variant, generator):
    flow = make(name, variant, generator)
    z = torch.randn(4, 3, flow.width, dtype=torch.float64, generator=generator)
    _, ladj, sign = flow.transform(z)
    for k in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.transform(v[None])[0][0], z[k])
        exact = torch.linalg.slogdet(jacobian.reshape(z[k].numel(), -1))
        assert sign[k] == exact.sign
        torch.testing.assert_close(ladj[k], exact.logabsdet, rtol=0, atol=1e-10)


@every_map
def test_draws_are_images_of_the_base(name, variant, generator):
    flow = make(name, variant, generator)
    draw = flow.draw(6, torch.Generator().manual_seed(3))
    like = next(flow.parameters())
    z = flow.base.sample(6, torch.Generator().manual_seed(3), like)
    x, ladj, sign = flow.transform(z)
    torch.testing.assert_close(draw.x, x[..., :2])
    log_q = flow.base.log_prob(z) - ladj
    if name in AUGMENTED:
        std = flow.log_r.exp().repeat_interleave(2)
        log_q = log_q - torch.distributions.Normal(0, std).log_prob(x[..., 2:]).sum((1, 2))
    torch.testing.assert_close(draw.log_q, log_q)
    assert torch.equal(draw.sign, sign)


@every_flow
def test_log_q_is_that_of_the_inverse(name, variant, generator):
    flow = make(name, variant, generator)
    if name in AUGMENTED:
        z = flow.base.sample(200, generator, torch.zeros(1, dtype=torch.float64))
        torch.testing.assert_close(flow.inverse(flow.transform(z)[0]), z, rtol=0, atol=1e-10)
        return
    x, log_q = flow.sample(200, generator)
    tolerance = 1e-10 if flow.exact_log_prob else 1e-6
    torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=tolerance)


@every_flow
def test_log_prob_has_the_gradient_of_finite_differences(name, variant, generator):
    """In every parameter, and in x: what maximum likelihood would follow."""
    flow = make(name, variant, generator)
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
        assert (gradient * direction).sum().item() == pytest.approx(measured, rel=1e-4, abs=1e-4)


@every_flow
def test_gradients_reach_every_parameter(name, variant, generator):
    flow = make(name, variant, generator)
    x, log_q = flow.sample(16, generator)
    (System(3).energy(x) + log_q / 2).mean().backward()
    for label, parameter in flow.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.abs().sum() > 0, label


@every_flow
def test_saved_and_loaded_flows_are_the_same(name, variant, generator, tmp_path):
    flow = make(name, variant, generator)
    checkpoint.save({"parameters": flow.state_dict()}, tmp_path / "flow.pt")
    other = make(name, variant, torch.Generator().manual_seed(99))
    other.load_state_dict(checkpoint.load(tmp_path / "flow.pt")["parameters"])
    for a, b in zip(*(f.sample(5, torch.Generator().manual_seed(1)) for f in (flow, other))):
        assert torch.equal(a, b)


@every_flow
@pytest.mark.parametrize("trap", TRAPS)
def test_the_density_has_the_symmetry_that_is_claimed(name, variant, trap, generator):
    """The map commutes with it and det J does not change: p(Sx) = p(x), as the base has it too."""
    flow = make(name, variant, generator, trap=trap)
    x, log_q = flow.sample(50, generator)
    for symmetry in claimed(flow):
        assert violation(flow, symmetry, generator) < 1e-10
        if name not in AUGMENTED:  # whose log_prob is random
            at = flow.log_prob(acted(symmetry, x))
            torch.testing.assert_close(at, log_q, rtol=0, atol=1e-6)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("n", [1, 2, 20, 50])
@pytest.mark.parametrize("name", ["convex", "leapfrog", "ordered"])
def test_electrons_are_alike_however_many(name, n, trap, generator):
    """At full size and after a jolt to the parameters, to 1e-10, whatever the number."""
    flow = flows.build(name, System(n, trap), generator)
    for p in flow.parameters():
        p.data += 0.01 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    assert "permutation" in claimed(flow)
    for symmetry in claimed(flow):
        assert violation(flow, symmetry, generator) < 1e-10


@every_flow
@pytest.mark.parametrize("trap", TRAPS)
def test_no_flow_has_a_symmetry_that_it_does_not_claim(name, variant, trap, generator):
    flow = make(name, variant, generator, trap=trap)
    for p in flow.parameters():  # what starts with more symmetry than it keeps
        p.data += 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    for symmetry in ACTIONS:
        if symmetry not in claimed(flow):
            assert violation(flow, symmetry, generator) > 1e-3


@pytest.mark.parametrize("name", flows.NAMES)
def test_the_density_of_one_electron_integrates_to_one(name, generator):
    """exp(log_prob) by the trapezoidal rule in the plane."""
    flow = flows.build(name, System(1), generator, **ONE_ELECTRON.get(name, {}))
    for parameter in flow.parameters():  # away from the identity
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    if name in AUGMENTED:
        flow.log_r.data += 0.5  # wider than the momenta of q, or the noise would have no variance
    x = flow.sample(4000, generator)[0].detach()
    low, high = (x.amin((0, 1)), x.amax((0, 1)))
    margin = 0.7 * (high - low)
    axes = [torch.linspace(a, b, 161).double() for a, b in zip(low - margin, high + margin)]
    density = flow.log_prob(torch.cartesian_prod(*axes).unsqueeze(1)).detach().exp()
    total = density.sum() * (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    # a random log_prob has noise: its exponential is right on average over the momenta
    assert total.item() == pytest.approx(1, abs=0.03 if name in AUGMENTED else 1e-3)


@pytest.mark.parametrize("name", EXACT)
def test_the_density_of_two_electrons_integrates_to_one(name, generator):
    """In four dimensions, by the weights q / g of samples of a wide Gaussian g."""
    flow = make(name, 0, generator, n=2)
    x = flow.sample(4000, generator)[0].detach()
    centre, width = x.mean(0), 1.5 * x.std(0)
    noise = torch.randn(200_000, 2, 2, dtype=torch.float64, generator=generator)
    log_g = torch.distributions.Normal(0, 1).log_prob(noise).sum((1, 2)) - width.log().sum()
    with torch.no_grad():
        total = iid_mean((flow.log_prob(centre + width * noise) - log_g).exp())
    assert total.stderr < 0.02
    assert abs(total.sigmas_from(1)) < 4


@every_flow
def test_a_misspelt_option_fails_with_the_good_ones(name, variant, generator):
    options = VARIANTS.get(name, [{}])[variant]
    good = ", ".join(list(inspect.signature(type(make(name, variant, generator))).parameters)[2:])
    with pytest.raises(TypeError, match=f"flow {name!r} has no option 'hiden'.*choose from {good}"):
        flows.build(name, System(2), generator, **options, hiden=[8])


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
    with pytest.raises(
        ValueError, match=r"hidden is \[64, 39\], but for 20 electrons use widths of at"
    ):
        flows.build("mlp", System(20), generator, hidden=[64, 39])
    with pytest.raises(ValueError, match="unknown activation 'relu'"):
        flows.build("mlp", System(2), generator, activation="relu")


def test_a_planted_fold_is_seen_by_its_signs(generator):
    """Random weights of order 1, as nobody would start from, fold the space."""
    flow = flows.build("mlp", System(2), generator, hidden=[8, 8], weight_std=1.0)
    assert minority_fraction(flow.draw(2000, generator).sign) > 0.01
    result = estimate(flow, System(2), 10.0, 2000, generator)
    assert result.verdict.startswith("failed: det J changes sign on")
    assert result.estimates["minority_sign"].mean > 0.01


def test_what_cannot_be_located_is_minus_infinity(generator):
    """softplus is above 0: half of the targets have no preimage."""

    class Positive(DenseFlow):
        base = bases.Gaussian(1)

        def mapping(self, z):
            slope = torch.sigmoid(z)
            return torch.nn.functional.softplus(z), torch.diag_embed(slope)

    x = torch.tensor([[[0.5, 2.0]], [[0.5, -0.1]]], dtype=torch.float64)
    found = Positive().located(x, generator)
    z = x[0].expm1().log()
    ladj = torch.nn.functional.logsigmoid(z).sum()
    assert found[0].item() == pytest.approx((bases.Gaussian(1).log_prob(z) - ladj).item())
    assert found[1] == -torch.inf


def twist(z):
    """Turned by an angle that grows with the radius: a bijection that leads steps astray."""
    r = z.norm(dim=1, keepdim=True)
    c, s = (4 * r).cos(), (4 * r).sin()
    turn = torch.stack([torch.cat([c, -s], 1), torch.cat([s, c], 1)], 1)
    x = (turn @ z.unsqueeze(-1)).squeeze(-1)
    along = torch.stack([-x[:, 1], x[:, 0]], 1)  # where x goes as the angle grows
    return x, turn + 4 * along.unsqueeze(2) * (z / r).unsqueeze(1)


def test_continuation_solves_what_newtons_steps_do_not(generator):
    z, start = torch.randn(2, 40, 2, generator=generator, dtype=torch.float64)
    x = twist(z)[0]
    _, at_once = newton(twist, x, start, tolerance=1e-9)
    found, solved = continued(twist, x, start, tolerance=1e-9)
    assert (solved & ~at_once).sum() >= 3
    torch.testing.assert_close(found[solved], z[solved], atol=1e-6, rtol=0)


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


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_talks_layer_has_d_plus_2_d2_parameters(n, depth, generator):
    flow = flows.build("permutation", System(n), generator, channels=[2] * depth)
    d = 2
    assert sum(p.numel() for p in flow.parameters()) == (depth + 1) * (d + 2 * d * d)


def test_the_talks_layer_is_its_matrix(generator):
    """W = I (x) lambda + 11^T (x) gamma and b = 1 (x) C, by Kronecker products."""
    n = 4
    flow = flows.build("permutation", System(n), generator, channels=[3], weight_std=0.5)
    a = torch.randn(6, 2 * n, dtype=torch.float64, generator=generator)
    z = a.unflatten(1, (n, 2))
    for k, (own, others, C) in enumerate(zip(flow.own, flow.others, flow.biases)):
        W = torch.kron(torch.eye(n), own) + torch.kron(torch.ones(n, n), others)
        a = (torch.asinh(a) if k else a) @ W.T + C.repeat(n)
    torch.testing.assert_close(flow.transform(z)[0].flatten(1), a)


def test_tied_layers_are_gradients_of_convex_functions(generator):
    """Their Jacobian is symmetric and positive definite, whatever the weights."""
    for rotation in (False, True):
        options = {"channels": [4], "tied": True, "rotation": rotation, "weight_std": 2.0}
        flow = flows.build("permutation", System(3), generator, **options)
        z = 2 * torch.randn(50, 6, dtype=torch.float64, generator=generator)
        flow.own[-1].data.zero_()
        flow.others[-1].data.zero_()
        (flow.own[-1][0] if rotation else flow.own[-1]).data.add_(torch.eye(2 - rotation))
        J = flow.mapping(z)[1]
        torch.testing.assert_close(J, J.mT)
        assert torch.linalg.eigvalsh(J).min() > 0.99  # s = 1 is all it starts with


def test_rotating_blocks_commute_with_every_rotation(generator):
    """[R, W] = 0 for the weights; the activation leaves quarter turns only."""
    ab = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator)
    W, v = turning(ab), torch.randn(7, 3, 2, dtype=torch.float64, generator=generator)
    for degrees in (30, 90, 200):
        image = (turned(degrees, v).flatten(1) @ W.T).unflatten(1, (-1, 2))
        assert torch.allclose(image, turned(degrees, (v.flatten(1) @ W.T).unflatten(1, (-1, 2))))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rotation", {"hidden": [3, 3]}),
        ("permutation", {"channels": [4], "rotation": True}),
        ("permutation", {"channels": [4], "rotation": True, "tied": True, "weight_std": 1.0}),
    ],
)
def test_quarter_turns_are_a_symmetry_and_thirty_degrees_are_none(name, options, generator):
    flow = flows.build(name, System(3), generator, **options)
    x, log_q = flow.sample(200, generator)
    x, log_q = x.detach(), log_q.detach()
    for degrees in (90, 180, 270):
        at = flow.log_prob(turned(degrees, x)).detach()
        torch.testing.assert_close(at, log_q, rtol=0, atol=1e-6)
    assert (flow.log_prob(turned(30, x)).detach() - log_q).abs().max() > 1e-2


def test_a_transformer_starts_as_its_mlp(generator):
    options = {"hidden": [8, 8], "activation": "tanh"}
    mlp = flows.build("mlp", System(3), torch.Generator().manual_seed(7), **options)
    flow = flows.build("transformer", System(3), torch.Generator().manual_seed(7), **options)
    z = torch.randn(5, 3, 2, dtype=torch.float64, generator=generator)
    for ours, theirs in zip(flow.transform(z), mlp.transform(z)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_transformer_blocks_treat_electrons_alike(generator):
    flow = make("transformer", 1, generator)
    x = torch.randn(5, 3, 2, dtype=torch.float64, generator=generator)
    moved = flow.blocks[0](x.flatten(1))[0].unflatten(1, (3, 2))
    order = torch.tensor([2, 0, 1])
    again = flow.blocks[0](x[:, order].flatten(1))[0].unflatten(1, (3, 2))
    torch.testing.assert_close(again, moved[:, order])


def test_autoregressive_coordinates_depend_on_those_before(generator):
    flow = flows.build("autoregressive", System(3), generator, hidden=[16], layers=1)
    z = torch.randn(3, 2, dtype=torch.float64, generator=generator)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.transform(v[None])[0][0], z)
    J = jacobian.reshape(6, 6)
    assert (J.triu(1) == 0).all()
    assert (J.diag() > 0).all()
    assert (J.tril(-1) != 0).sum() == 15


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("autoregressive", {"layers": 0}, "layers is 0; it must be at least 1"),
        ("autoregressive", {"hidden": []}, "hidden is empty; it needs at least 1 entry"),
        ("autoregressive", {"width": 0.0}, "width is 0.0; it must be above 0"),
        ("autoregressive", {"hidden": 8}, "hidden is 8; it must be of type array"),
        ("autoregressive", {"hidden": [8, 2.5]}, r"hidden\[1\] is 2.5; it must be of type integer"),
        ("mlp", {"bias_std": "1"}, "bias_std is '1'; it must be of type number"),
        ("permutation", {"tied": 1}, "tied is 1; it must be of type boolean"),
        ("permutation", {"channels": [1]}, r"channels\[0\] is 1; it must be at least 2"),
        ("permutation", {"channels": [3], "rotation": True}, "with rotation use even numbers"),
        ("permutation", {"activation": "softplus", "rotation": True}, "use tanh or asinh"),
        (
            "rotation",
            {"hidden": [1]},
            r"hidden is \[1\], but for 2 electrons use widths of at least",
        ),
        ("rotation", {"activation": "softplus"}, "choose from tanh, asinh"),
        ("transformer", {"width": 8, "heads": 3}, "heads is 3, no divisor of width, which is 8"),
        ("ordered", {"width": 8, "heads": 3}, "heads is 3, no divisor of width, which is 8"),
        ("ordered", {"modes": 8, "nodes": 16}, "nodes is 16; take more than twice the 8 modes"),
    ],
)
def test_impossible_options_are_sentences(name, options, sentence, generator):
    with pytest.raises(ValueError, match=sentence):
        flows.build(name, System(2), generator, **options)


@pytest.mark.parametrize(
    ("name", "square"),
    [("mlp", {"hidden": [4]}), ("permutation", {"channels": [2]}), ("rotation", {"hidden": [2]})],
)
def test_square_layers_are_injective_by_construction_and_wider_ones_are_not(
    name, square, generator
):
    (key, (width,)) = next(iter(square.items()))
    assert flows.build(name, System(2), generator, **square).claim
    assert not flows.build(name, System(2), generator, **{key: [width + 2]}).claim
    if name == "permutation":
        assert flows.build(name, System(2), generator, channels=[width + 2], tied=True).claim


def test_the_cost_of_a_sample_is_its_time(generator):
    """Of a flow that waits, without the first chunk, which may have to set something up."""
    flow = flows.build("convex", System(3), generator, layers=1, ramps=2)
    transform, waits = flow.transform, [0.3, 0.05, 0.05, 0.05]

    def slow(z):
        until = time.process_time() + waits.pop(0)
        while time.process_time() < until:
            pass
        return transform(z)

    flow.transform = slow
    cost = estimate(flow, System(3), 1.0, 40, generator, chunk=10).estimates["seconds_per_sample"]
    assert 0.005 <= cost.mean < 0.02
    assert 0 < cost.stderr < 0.005
    waits[:] = [0, 0]
    assert "seconds_per_sample" not in estimate(flow, System(3), 1.0, 4, generator, 2).estimates


class Gaussian(Flow):
    """N(0, t / (2 beta)) for one electron: t times the variance of p in the harmonic trap."""

    def __init__(self, t, beta):
        super().__init__()
        self.base = bases.Gaussian(1)
        self.s = torch.nn.Parameter(torch.tensor(t / (2 * beta), dtype=torch.float64).sqrt())

    def transform(self, z):
        return self.s * z, 2 * self.s.log().expand(len(z)), torch.ones(len(z))


def test_the_effective_share_of_a_gaussian_is_the_closed_form(generator):
    """w is a Gaussian, too: (E w)^2 / E w^2 = (2 t - 1) / t^2, and ln w is bounded: k <= 0."""
    t, beta = 1.7, 3.0
    found = estimate(Gaussian(t, beta), System(1), beta, 20_000, generator).estimates
    assert abs(found["ess"].sigmas_from((2 * t - 1) / t**2)) < 4
    assert found["ess"].stderr < 0.01
    assert found["pareto_k"].mean < 0.1
    narrow = estimate(Gaussian(0.6, beta), System(1), beta, 20_000, generator).estimates
    assert 0.2 < narrow["pareto_k"].mean < 0.6  # 1 - t in the limit of an infinite sample
