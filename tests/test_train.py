import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from oracles import one_electron

from qdflow import checkpoint, flows
from qdflow.estimate import estimate
from qdflow.flows.base import Draw, Flow, drawn
from qdflow.stats import iid_mean
from qdflow.system import System
from qdflow.train import HISTORY, PATIENCE, Phase, TrainingDivergedError, score_loss, train

PHASES = [Phase(30, 64, 0.02), Phase(30, 32, 0.01, 0.1)]
CYCLE = [Phase(30, 64, 0.02), Phase(30, 32, 0.01, 0.1, warmup=0.3)]


def small(seed=0, n=2):
    generator = torch.Generator().manual_seed(seed)
    return flows.build("mlp", System(n), generator, hidden=[8]), generator


def parameters(flow):
    return torch.cat([p.detach().flatten() for p in flow.parameters()])


@pytest.mark.parametrize("trap", ["harmonic", "quartic"])
def test_one_electron_is_learned(trap):
    """F from above, and near: a network of 16 units can bend a Gaussian into either trap's."""
    system, generator = System(1, trap), torch.Generator().manual_seed(0)
    flow = flows.build("mlp", system, generator, hidden=[16], activation="asinh", weight_std=0.5)
    phases = [Phase(400, 256, 0.02), Phase(600, 512, 0.02, 0.02)]
    train(flow, system, 2.0, phases, generator, clip=10)
    F = estimate(flow, system, 2.0, 40_000, generator).estimates["F"]
    exact, _ = one_electron(trap, 2.0)
    assert F.sigmas_from(exact) > -4
    assert F.mean - exact < 0.02


def test_history_says_what_happened():
    flow, generator = small()
    history = train(flow, System(2), 5.0, PHASES, generator)
    assert list(history) == list(HISTORY)
    assert history["step"] == list(range(1, 61))
    assert history["learning_rate"][:30] == [0.02] * 30
    assert history["learning_rate"][30] == 0.01
    assert history["learning_rate"][59] == pytest.approx(0.001)
    F, E, S = (np.array(history[k]) for k in "FES")
    np.testing.assert_allclose(F, E - S / 5.0)
    assert F[-1] < F[0]
    assert (np.array(history["F_stderr"]) > 0).all()
    assert all(b >= a for a, b in zip(history["seconds"], history["seconds"][1:]))


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 1001])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.37, 1.0])
def test_a_cycle_rises_and_falls_along_cosines(steps, warmup):
    """From 0.04 of the largest, at the share of the steps, to the last; by another formula."""
    phase = Phase(steps, 2, 0.02, 0.1, warmup=warmup)
    at = np.arange(steps) / max(steps - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = 0.02 * (0.04 + 0.96 * np.sin(np.pi / 2 * at / warmup) ** 2)
        fall = 0.02 * (0.1 + 0.9 * np.cos(np.pi / 2 * (at - warmup) / (1 - warmup)) ** 2)
    expected = np.where(at < warmup, rise, np.where(at > warmup, fall, 0.02))
    np.testing.assert_allclose([phase.rate(k) for k in range(steps)], expected, rtol=1e-12)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    ("stop", "phases"), [*((k, PHASES) for k in (1, 17, 30, 59)), (36, CYCLE), (45, CYCLE)]
)
def test_resumed_training_ends_at_the_same_bits(tmp_path, stop, phases):
    """Within a phase, between phases, at the first and before the last step."""
    whole, generator = small()
    history = train(whole, System(2), 5.0, phases, generator)

    def interrupt(done, _total, _news):
        if done == stop + 1:
            raise Interrupted

    saved = tmp_path / "saved.pt"
    flow, generator = small()
    with pytest.raises(Interrupted):
        train(
            flow, System(2), 5.0, phases, generator, saved=saved, save_seconds=0, report=interrupt
        )
    fresh, generator = small(seed=123)  # other parameters and other random numbers
    seen = []
    again = train(
        fresh,
        System(2),
        5.0,
        phases,
        generator,
        saved=saved,
        report=lambda done, _total, news: seen.append((done, news)),
    )
    assert seen[0] == (stop, f"resumed at step {stop}")
    assert torch.equal(parameters(fresh), parameters(whole))
    assert again["F"] == history["F"]


MIXED = [Phase(6, 32, 0.02, forward=1.0), Phase(6, 32, 0.01, 0.5, 0.5), Phase(6, 32, 0.01)]
ABOVE, BELOW = ("F", "F_stderr", "E", "S", "minority_sign"), ("F_below", "F_below_stderr")
TINY = {"width": 8, "heads": 2, "blocks": 1, "components": 2, "modes": 2, "nodes": 8}


def likely(seed=0, architecture="ordered"):
    """A flow with a likelihood, and what stands for a reference."""
    generator = torch.Generator().manual_seed(seed)
    options = TINY if architecture == "ordered" else {"hidden": [8]}
    flow = flows.build(architecture, System(2), generator, **options)
    x = torch.randn(100, 2, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return flow, generator, x


@pytest.mark.parametrize("architecture", ["ordered", "autoregressive"])
def test_the_history_of_mixed_phases_has_the_bounds_that_were_used(architecture):
    """The forward bound rises and the reverse one falls; NaN where there was none."""
    flow, generator, x = likely(architecture=architecture)
    history = train(flow, System(2), 5.0, MIXED, generator, reference=x)
    for names, used in ((ABOVE, range(6, 18)), (BELOW, range(12))):
        for name in names:
            finite = np.isfinite(history[name])
            assert np.flatnonzero(finite).tolist() == list(used), name
    assert history["F_below"][11] > history["F_below"][0]
    assert history["F"][17] < history["F"][6]
    assert not any(history["skipped"])


@pytest.mark.parametrize("stop", [3, 6, 9, 15])
def test_mixed_training_resumes_at_the_same_bits(tmp_path, stop):
    whole, generator, x = likely()
    history = train(whole, System(2), 5.0, MIXED, generator, reference=x)

    def interrupt(done, _total, _news):
        if done == stop + 1:
            raise Interrupted

    options = {"saved": tmp_path / "saved.pt", "save_seconds": 0, "reference": x}
    flow, generator, _ = likely()
    with pytest.raises(Interrupted):
        train(flow, System(2), 5.0, MIXED, generator, report=interrupt, **options)
    fresh, generator, _ = likely(seed=123)
    again = train(fresh, System(2), 5.0, MIXED, generator, **options)
    assert torch.equal(parameters(fresh), parameters(whole))
    for name in ABOVE + BELOW:
        np.testing.assert_array_equal(again[name], history[name])


def test_maximum_likelihood_finds_the_distribution_of_its_samples():
    """One electron from a Gaussian: the forward bound ends at F, on samples that it never saw."""
    beta, system = 2.0, System(1)
    generator = torch.Generator().manual_seed(0)
    sigma = (2 * beta) ** -0.5  # of e^{-beta (x^2 + y^2)}
    seen, new = sigma * torch.randn(2, 20_000, 1, 2, generator=generator, dtype=torch.float64)
    flow = flows.build("ordered", system, generator, **TINY)
    train(flow, system, beta, [Phase(150, 256, 0.03, 0.03, 1.0)], generator, reference=seen)
    with torch.no_grad():
        below = iid_mean(system.energy(new) + flow.log_prob(new) / beta)
    exact, _ = one_electron("harmonic", beta)
    assert below.sigmas_from(exact) < 4
    assert exact - below.mean < 0.005


def test_lessons_teach_like_a_reference_but_bound_nothing():
    runs = []
    for name in ("reference", "lessons"):
        flow, generator, x = likely()
        history = train(flow, System(2), 5.0, MIXED, generator, **{name: x})
        runs.append((parameters(flow), history))
    (by_reference, with_bounds), (by_lessons, without) = runs
    assert torch.equal(by_reference, by_lessons)
    assert np.isfinite(with_bounds["F_below"][:12]).all()
    assert np.isnan([without[name] for name in BELOW]).all()
    np.testing.assert_array_equal(without["F"], with_bounds["F"])


def test_samples_are_drawn_in_chunks():
    """The last chunk is what is left; the first is what a smaller order would have brought."""
    flow, _, _ = likely()
    five, three = (drawn(flow, k, torch.Generator().manual_seed(1), chunk=3) for k in (5, 3))
    assert five.shape == (5, 2, 2)
    assert torch.equal(five[:3], three)
    assert not five.requires_grad


def test_the_forward_bound_is_that_of_the_reference():
    """H + ln q / beta of its one configuration, which no turn changes for one electron."""
    system, generator = System(1), torch.Generator().manual_seed(0)
    flow = flows.build("ordered", system, generator, **TINY)
    x = torch.tensor([[[0.3, -0.4]]], dtype=torch.float64)
    exact = 0.25 + flow.log_prob(x).item() / 5.0
    history = train(flow, system, 5.0, [Phase(1, 8, 0.1, forward=1.0)], generator, reference=x)
    assert history["F_below"][0] == pytest.approx(exact, abs=1e-12)
    assert history["F_below_stderr"][0] < 1e-12


def test_score_gradients_learn_one_electron():
    """Without a gradient through the samples, from the Hamiltonian alone."""
    system, generator = System(1, "quartic"), torch.Generator().manual_seed(0)
    flow = flows.build("ordered", system, generator, **TINY | {"stiffness": 2.0})
    train(flow, system, 2.0, [Phase(200, 256, 0.03, 0.03)], generator, clip=10)
    F = estimate(flow, system, 2.0, 20_000, generator).estimates["F"]
    exact, _ = one_electron("quartic", 2.0)
    assert F.sigmas_from(exact) > -4
    assert F.mean - exact < 0.02


def test_the_score_gradient_is_that_of_the_mean():
    """E[F] of N(mu, 1) for F = x^2: its derivative is 2 mu; each baseline leaves its sample out."""
    mu = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    generator, gradients = torch.Generator().manual_seed(0), []
    for _ in range(2000):
        x = mu.detach() + torch.randn(5, generator=generator, dtype=torch.float64)
        F, log_q = x**2, -0.5 * (x - mu) ** 2
        (gradient,) = torch.autograd.grad(score_loss(F, log_q), mu)
        gradients.append(gradient.item())
    score, F = (x - mu).detach().numpy(), F.numpy()
    by_hand = np.mean([(F[i] - np.delete(F, i).mean()) * score[i] for i in range(5)])
    assert gradients[-1] == pytest.approx(by_hand, rel=1e-12)
    assert abs(iid_mean(gradients).sigmas_from(1.4)) < 4


def test_a_forward_bound_without_its_needs_is_refused():
    forward = [Phase(3, 8, 0.1), Phase(3, 8, 0.1, forward=0.5)]
    flow, generator = small()
    with pytest.raises(ValueError, match="needs samples of p; pass them as reference"):
        train(flow, System(2), 5.0, forward, generator)
    with pytest.raises(ValueError, match="MLP has no exact log_prob, which a forward bound needs"):
        train(flow, System(2), 5.0, forward, generator, reference=torch.ones(5, 2, 2))


def test_kill_minus_nine_loses_nothing(tmp_path):
    """A training killed by SIGKILL goes on from its file to the bits of one that was left alone."""
    program = textwrap.dedent("""
        import sys, torch
        from pathlib import Path
        from qdflow import checkpoint, flows
        from qdflow.system import System
        from qdflow.train import Phase, train
        torch.set_num_threads(1)
        g = torch.Generator().manual_seed(0)
        flow = flows.build("mlp", System(2), g, hidden=[8])
        saved = Path(sys.argv[1])
        train(flow, System(2), 5.0, [Phase(int(sys.argv[3]), 64, 0.01, 0.1)], g, saved=saved,
              save_seconds=0.05, report=lambda done, total, news: print(news or done, flush=True))
        checkpoint.save(flow.state_dict(), Path(sys.argv[2]))
    """)

    def start(saved, model):
        command = [sys.executable, "-c", program, tmp_path / saved, tmp_path / model, "5000"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    victim = start("saved.pt", "killed.pt")
    deadline = time.monotonic() + 60
    while not (tmp_path / "saved.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed.pt").exists()
    second = start("saved.pt", "killed.pt")
    assert second.communicate()[0].startswith("resumed at step")
    start("other.pt", "whole.pt").communicate()
    assert (tmp_path / "killed.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()


class Poisoned(Flow):
    """Gives NaN at chosen calls."""

    def __init__(self, bad):
        super().__init__()
        self.bad, self.calls = bad, 0
        self.shift = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def draw(self, size, generator):
        self.calls += 1
        x = torch.randn(size, 1, 2, generator=generator, dtype=torch.float64) + self.shift
        factor = math.nan if self.calls in self.bad else 1.0
        return Draw(x, -0.5 * x.square().sum((1, 2)) * factor, torch.ones(size))


def test_a_step_that_is_not_finite_changes_nothing():
    flow = Poisoned(bad={2, 3})
    generator = torch.Generator().manual_seed(0)
    shifts = []
    history = train(
        flow,
        System(1),
        1.0,
        [Phase(5, 16, 0.1)],
        generator,
        report=lambda *_: shifts.append(flow.shift.tolist()),
    )
    assert history["skipped"] == [0, 1, 1, 0, 0]
    assert shifts[0] == shifts[1] == shifts[2]  # not even the momentum of the first step moves it
    assert len({tuple(shift) for shift in shifts}) == 3


def test_training_that_stays_not_finite_is_given_up():
    flow = Poisoned(bad=range(3, 1000))
    with pytest.raises(
        TrainingDivergedError, match=f"for the {PATIENCE} steps up to {PATIENCE + 2}"
    ):
        train(flow, System(1), 1.0, [Phase(900, 16, 0.1)], torch.Generator().manual_seed(0))
    assert flow.shift.isfinite().all()


def test_clipping_shortens_the_step_but_not_the_report():
    runs = []
    for clip in (math.inf, 1e-30):
        flow, generator = small()
        before = parameters(flow)
        history = train(flow, System(2), 5.0, [Phase(1, 64, 0.02)], generator, clip=clip)
        runs.append((history["gradient_norm"][0], (parameters(flow) - before).abs().max()))
    assert runs[0][0] == runs[1][0] > 1
    assert runs[1][1] < 1e-10 < runs[0][1]


def test_a_damaged_checkpoint_is_named_and_the_training_begins_anew(tmp_path):
    path = tmp_path / "saved.pt"
    said, models = [], []
    for saved in (path, None):
        flow, generator = small()
        checkpoint.save({"x": torch.ones(1000)}, path)
        path.write_bytes(path.read_bytes()[:500])
        report = lambda _done, _total, news: said.append(news)  # noqa: E731
        train(flow, System(2), 5.0, PHASES, generator, saved=saved, report=report)
        models.append(parameters(flow))
    assert re.search(r"saved\.pt cannot be read .*; this training begins anew", said[0])
    assert torch.equal(*models)


def test_loading_runs_no_code(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"x": Attack()}, tmp_path / "evil.pt")
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(tmp_path / "evil.pt")
    assert not (tmp_path / "owned").exists()


def test_saving_is_all_or_nothing(tmp_path):
    path = tmp_path / "model.pt"
    checkpoint.save({"x": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({"x": lambda: 0}, path)
    assert checkpoint.load(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_in_parts_is_the_batch_whatever_the_threads(threads, monkeypatch):
    """Parts of 48 (the Gaussian's numbers come by sixteen) against one part, after three steps."""

    def trained():
        generator = torch.Generator().manual_seed(3)
        flow = flows.build("mlp", System(3), generator, hidden=[8])
        phases = [Phase(3, 208, 0.01)]
        history = train(flow, System(3), 2.0, phases, generator)
        return [p.detach().clone() for p in flow.parameters()], history

    whole, whole_history = trained()
    monkeypatch.setattr("qdflow.train.CACHED", 48)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        parts, history = trained()
        assert torch.get_num_threads() == threads
        torch.set_num_threads(3 - threads)
        others, _ = trained()
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(history["F"], whole_history["F"], rtol=1e-10, atol=0)
    for mine, theirs, other in zip(parts, whole, others, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
        assert torch.equal(mine, other)
