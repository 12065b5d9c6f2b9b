"""Training a flow on the variational free energy, in phases, resumable to the bit."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qdflow import checkpoint
from qdflow.flows.base import Draw, Flow, minority_fraction
from qdflow.system import System

HISTORY = {  # columns and their units
    "step": "1",
    "F": "energy",
    "F_stderr": "energy",
    "E": "energy",
    "S": "k",
    "gradient_norm": "energy per parameter",
    "learning_rate": "1",
    "minority_sign": "1",
    "skipped": "1",
    "seconds": "s",
}
_SKIPPED = list(HISTORY).index("skipped")
PATIENCE = 50  # non-finite steps in a row before training is given up


class Phase(NamedTuple):
    """Steps with one batch size, along which the learning rate falls exponentially.

    Attributes:
        steps: of the optimizer.
        batch: samples a step.
        learning_rate: at the first step.
        decay: last learning rate over first.
    """

    steps: int
    batch: int
    learning_rate: float
    decay: float = 1.0


class TrainingDivergedError(ArithmeticError):
    """Loss or gradient stayed non-finite."""


class _Run(NamedTuple):
    flow: Flow
    optimizer: torch.optim.Adam
    generator: torch.Generator
    history: list[list[float]]


def train(
    flow: Flow,
    system: System,
    beta: float,
    phases: Sequence[Phase],
    generator: torch.Generator,
    clip: float = math.inf,
    saved: Path | None = None,
    save_seconds: float = 2.0,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
) -> dict[str, list[float]]:
    """Minimise E_q[H + ln q / beta] over the parameters of ``flow``, in place, with Adam.

    A step whose loss or gradient is not finite changes nothing and is marked as skipped. The
    state is saved every ``save_seconds``; a run that finds ``saved`` goes on from there and
    ends at the same bits as an uninterrupted one (same machine, same number of threads).

    Args:
        flow: to train, in the precision of its parameters.
        system: gives H.
        beta: inverse temperature.
        phases: one after the other.
        generator: of the batches.
        clip: largest norm of a gradient; longer ones are shortened to it.
        saved: where the state is kept; removing it is up to the caller.
        save_seconds: between two savings.
        report: called with the steps done, their total, and a line of news.

    Returns:
        The history: a list for each name in `HISTORY`, one entry a step. F and E are the
        energies' units, S is in units of k; they come from the training batch.

    Raises:
        TrainingDivergedError: the loss stayed non-finite for `PATIENCE` steps.
        CheckpointError: what was saved cannot be read.
    """
    run = _Run(flow, torch.optim.Adam(flow.parameters()), generator, [])
    if saved is not None and saved.exists():
        _restore(run, checkpoint.load(saved))
    start = time.monotonic() - (run.history[-1][-1] if run.history else 0)
    last_saved = time.monotonic()
    total = sum(phase.steps for phase in phases)
    if run.history:
        report(len(run.history), total, f"resumed at step {len(run.history)}")
    for phase, learning_rate in _schedule(phases, skip=len(run.history)):
        row = _step(run, system, beta, phase.batch, learning_rate, clip)
        run.history.append([*row, time.monotonic() - start])
        _refuse_divergence(run.history)
        report(len(run.history), total, f"F = {row[1]:.3f}")
        if saved is not None and time.monotonic() - last_saved >= save_seconds:
            checkpoint.save(_state(run), saved)
            last_saved = time.monotonic()
    return dict(zip(HISTORY, map(list, zip(*run.history, strict=True)), strict=True))


def reverse(draw: Draw, system: System, beta: float) -> tuple[Tensor, Tensor]:
    """H(x) and the integrand H(x) + ln q(x) / beta of the variational F, (size,) each."""
    energy = system.energy(draw.x)
    return energy, energy + draw.log_q / beta


def _schedule(phases: Sequence[Phase], skip: int) -> Iterator[tuple[Phase, float]]:
    steps = ((phase, k) for phase in phases for k in range(phase.steps))
    for index, (phase, k) in enumerate(steps):
        if index >= skip:
            yield phase, phase.learning_rate * phase.decay ** (k / max(phase.steps - 1, 1))


def _step(
    run: _Run, system: System, beta: float, batch: int, learning_rate: float, clip: float
) -> list[float]:
    draw = run.flow.draw(batch, run.generator)
    energy, F = reverse(draw, system, beta)
    run.optimizer.zero_grad()
    F.mean().backward()
    norm = torch.nn.utils.clip_grad_norm_(run.flow.parameters(), clip).item()
    finite = math.isfinite(norm) and bool(F.isfinite().all())
    if finite:
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate
        run.optimizer.step()
    return [
        len(run.history) + 1,
        F.mean().item(),
        F.std().item() / math.sqrt(batch),
        energy.mean().item(),
        -draw.log_q.mean().item(),
        norm,
        learning_rate,
        minority_fraction(draw.sign),
        float(not finite),
    ]


def _refuse_divergence(history: list[list[float]]) -> None:
    recent = history[-PATIENCE:]
    if len(recent) == PATIENCE and all(row[_SKIPPED] for row in recent):
        raise TrainingDivergedError(
            f"loss or gradient was not finite for the {PATIENCE} steps up to {len(history)};"
            " lower the learning rate or clip the gradient more"
        )


def _state(run: _Run) -> dict[str, Any]:
    return {
        "flow": run.flow.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "generator": run.generator.get_state(),
        "history": torch.tensor(run.history, dtype=torch.float64),
    }


def _restore(run: _Run, state: dict[str, Any]) -> None:
    run.flow.load_state_dict(state["flow"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.generator.set_state(state["generator"])
    run.history.extend(state["history"].tolist())
