import math
import os
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
from qdflow.flows.base import Draw, Flow
from qdflow.system import System
from qdflow.train import HISTORY, PATIENCE, Phase, TrainingDivergedError, train

PHASES = [Phase(30, 64, 0.02), Phase(30, 32, 0.01, 0.1)]


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


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 17, 30, 59])
def test_resumed_training_ends_at_the_same_bits(tmp_path, stop):
    """Within a phase, between phases, at the first and before the last step."""
    whole, generator = small()
    history = train(whole, System(2), 5.0, PHASES, generator)

    def interrupt(done, _total, _news):
        if done == stop + 1:
            raise Interrupted

    saved = tmp_path / "saved.pt"
    flow, generator = small()
    with pytest.raises(Interrupted):
        train(
            flow, System(2), 5.0, PHASES, generator, saved=saved, save_seconds=0, report=interrupt
        )
    fresh, generator = small(seed=123)  # other parameters and other random numbers
    seen = []
    again = train(
        fresh,
        System(2),
        5.0,
        PHASES,
        generator,
        saved=saved,
        report=lambda done, _total, news: seen.append((done, news)),
    )
    assert seen[0] == (stop, f"resumed at step {stop}")
    assert torch.equal(parameters(fresh), parameters(whole))
    assert again["F"] == history["F"]


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


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "saved.pt"
    flow, generator = small()
    checkpoint.save({"x": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(checkpoint.CheckpointError, match=r"saved\.pt cannot be read .*; delete it"):
        train(flow, System(2), 5.0, PHASES, generator, saved=path)


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
