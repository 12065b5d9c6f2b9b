"""Training a flow on bounds of the free energy, in phases, resumable to the bit."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from qdflow import checkpoint, checks
from qdflow.compiled import each_alone
from qdflow.family import Family
from qdflow.flows.base import Draw, Flow, minority_fraction
from qdflow.symmetry import moved
from qdflow.system import System

HISTORY = {  # columns and their units
    "step": "1",
    "F": "energy",
    "F_stderr": "energy",
    "E": "energy",
    "S": "k",
    "F_below": "energy",
    "F_below_stderr": "energy",
    "gradient_norm": "energy per parameter",
    "learning_rate": "1",
    "minority_sign": "1",
    "skipped": "1",
    "seconds": "s",
}
_SKIPPED, _RATE = (list(HISTORY).index(name) for name in ("skipped", "learning_rate"))
_log = logging.getLogger(__name__)
CACHED = 256  # samples at a time on a processor, so that what they need stays in its cache
COLD = 0.04  # first learning rate of a warm-up over the largest
PATIENCE = 50  # non-finite steps in a row before training is given up


class Phase(NamedTuple):
    """Steps with one batch size, along which the learning rate falls.

    Attributes:
        steps: of the optimizer.
        batch: samples a step.
        learning_rate: the largest.
        decay: last learning rate over the largest.
        forward: weight of the forward bound in the loss, 0 to 1; the rest is the reverse one's.
        warmup: share of the steps along which the learning rate rises, from a `COLD` part of the
            largest, and then falls, both along half a cosine: one cycle (Smith & Topin, Super-
            Convergence (2018)). Without it the first is the largest, and the fall exponential.
    """

    steps: int
    batch: int
    learning_rate: float
    decay: float = 1.0
    forward: float = 0.0
    warmup: float | None = None

    def rate(self, k: int) -> float:
        """The learning rate of step k, which counts from 0."""
        last = max(self.steps - 1, 1)
        if self.warmup is None:
            return self.learning_rate * self.decay ** (k / last)
        top = self.warmup * last
        rising = k < top
        way = (top - k) / top if rising else (k - top) / (last - top or 1)
        low = COLD if rising else self.decay
        return self.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * way)) / 2)


class TrainingDivergedError(ArithmeticError):
    """Loss or gradient stayed non-finite, or could not be computed."""


class StoppedError(RuntimeError):
    """A training ended before its last step, because it was asked to."""


class _Run(NamedTuple):
    flow: Flow | Family
    system: System
    beta: float
    samples: Tensor
    bounds: bool
    optimizer: torch.optim.Adam
    generator: torch.Generator
    history: list[list[float]]


def train(
    flow: Flow | Family,
    system: System,
    beta: float,
    phases: Sequence[Phase],
    generator: torch.Generator,
    clip: float = math.inf,
    saved: Path | None = None,
    save_seconds: float = 2.0,
    report: Callable[[int, int, str], None] = lambda _done, _total, _news: None,
    reference: Tensor | None = None,
    lessons: Tensor | None = None,
    stop: Callable[[], str] = lambda: "",
) -> dict[str, list[float]]:
    """Bring the bounds of F together over the parameters of ``flow``, in place, with Adam.

    With samples of q and of p = e^{-beta H} / Z,

        E_p[H + ln q / beta]  <=  F  <=  E_q[H + ln q / beta].

    The loss is the upper (reverse) bound, from the Hamiltonian alone; or minus the lower
    (forward) one, which is maximum likelihood on samples of p; or both, with the weights of the
    phase: half and half it is half of their distance, which is Jeffreys' divergence over beta.

    Of a family the loss is the mean of the reverse bounds at random beta, uniform in ln beta. The
    batch is split evenly among the temperatures of a step.

    A step whose loss or gradient is not finite changes nothing and is marked as skipped. The
    state is saved every ``save_seconds``, but not while steps are skipped; a run that finds
    ``saved`` goes on from there and ends at the same bits as an uninterrupted one (same machine,
    same number of threads). If it cannot be read the run says so and begins anew, at the same bits
    again: only time is lost.

    Args:
        flow: to train, in the precision of its parameters.
        system: gives H.
        beta: inverse temperature; of a family any, as it is not used.
        phases: one after the other.
        generator: of the batches.
        clip: largest norm of a gradient; longer ones are shortened to it.
        saved: where the state is kept; removing it is up to the caller.
        save_seconds: between two savings, or one step, if that takes longer.
        report: called with the steps done, their total, and a line of news.
        reference: (samples, n, 2) of p, which a forward bound needs. Each batch is drawn from
            them with replacement and moved by random elements of the symmetry of H.
        lessons: (samples, n, 2) of another flow, its teacher, to learn from in place of those of
            p. Likelihood on them is no bound of F, and the history does not hold it.
        stop: called after each step; why to stop there, empty to go on.

    Returns:
        The history: a list for each name in `HISTORY`, one entry a step, from the training
        batch; NaN where a step had no use for the bound. F, E, S and the sign are of the
        flow's own samples, F_below of the reference's. Of a family they are means over the
        temperatures of the step, and the error is that at these temperatures.

    Raises:
        ValueError: beta or a number of a phase is not above 0; or a forward bound is asked for
            without a reference, of a flow without an exact log_prob or of a family.
        TrainingDivergedError: the loss stayed non-finite for `PATIENCE` steps, or a step failed.
        StoppedError: ``stop`` said so; the state is saved first.
    """
    learned = reference if lessons is None else lessons
    if not isinstance(flow, Family):
        checks.positive(beta=beta)
    _refuse_impossible(flow, phases, learned)
    like, optimizer = next(flow.parameters()), torch.optim.Adam(flow.parameters(), fused=True)
    samples = like.new_empty(0) if learned is None else learned.to(like)
    run = _Run(flow, system, beta, samples, lessons is None, optimizer, generator, [])
    total = sum(phase.steps for phase in phases)
    if saved is not None and saved.exists() and (fault := _resume(run, saved)):
        report(0, total, fault)
    start = time.monotonic() - (run.history[-1][-1] if run.history else 0)
    last_saved = time.monotonic()
    if run.history:
        report(len(run.history), total, f"resumed at step {len(run.history)}")
    for phase, learning_rate in _schedule(phases, skip=len(run.history)):
        row = _advance(run, phase, learning_rate, clip, start)
        report(len(run.history), total, _news(row))
        why = stop() if len(run.history) < total else ""
        due = time.monotonic() - last_saved >= save_seconds
        if saved is not None and (due or why) and _is_sound(run):
            checkpoint.save(_state(run), saved)
            last_saved = time.monotonic()
        if why:
            raise StoppedError(_goodbye(why, len(run.history), total, saved))
    return dict(zip(HISTORY, map(list, zip(*run.history, strict=True)), strict=True))


def reverse(draw: Draw, system: System, beta: float) -> tuple[Tensor, Tensor]:
    """H(x) and the integrand H(x) + ln q(x) / beta of the variational F, (size,) each."""
    energy = system.energy(draw.x)
    return energy, energy + draw.log_q / beta


def score_loss(F: Tensor, log_q: Tensor) -> Tensor:
    """A number whose gradient is, in the mean, that of E_q[F], F = H + ln q / beta.

    For samples that say nothing of how they move with the parameters: the gradient is
    E_q[(F - b) grad ln q], with the mean over the other samples as the baseline b of each
    (Williams, Machine Learning 8, 229 (1992); Kool et al., Buy 4 REINFORCE samples, get a
    baseline for free! (2019)). It vanishes, sample by sample, at q = p.

    Args:
        F: (size,) of at least 2 independent samples; taken as numbers.
        log_q: (size,) differentiable in the parameters, at fixed samples.
    """
    excess = (F - F.mean()).detach() * (len(F) / (len(F) - 1))
    return (excess * log_q).mean()


def _refuse_impossible(
    flow: Flow | Family, phases: Sequence[Phase], samples: Tensor | None
) -> None:
    for phase in phases:
        checks.count(1, steps=phase.steps, batch=phase.batch)
        checks.positive(learning_rate=phase.learning_rate, decay=phase.decay)
    if all(phase.forward == 0 for phase in phases):
        return
    if isinstance(flow, Family):
        raise ValueError("a family has no forward bound, as a reference is of one beta; leave it")
    if samples is None:
        raise ValueError("a forward bound needs samples of p; pass them as reference")
    if not flow.exact_log_prob:
        raise ValueError(
            f"{type(flow).__name__} has no exact log_prob, which a forward bound needs at samples"
            " that are not its own; choose a flow with an inverse of its own"
        )


def _schedule(phases: Sequence[Phase], skip: int) -> Iterator[tuple[Phase, float]]:
    steps = ((phase, k) for phase in phases for k in range(phase.steps))
    for index, (phase, k) in enumerate(steps):
        if index >= skip:
            yield phase, phase.rate(k)


def _advance(run: _Run, phase: Phase, rate: float, clip: float, start: float) -> list[float]:
    """A step, and its row in the history; refused once there is no hope."""
    try:
        row = _step(run, phase, rate, clip)
    # parameters so large that a matrix is not itself any more
    except torch.linalg.LinAlgError as error:  # pyright: ignore[reportPrivateImportUsage]
        raise TrainingDivergedError(
            f"step {len(run.history) + 1} failed at a learning rate of {rate:g}; lower it, or clip"
            f" the gradient more ({error})"
        ) from error
    run.history.append([*row, time.monotonic() - start])
    _refuse_divergence(run.history)
    return row


def _step(run: _Run, phase: Phase, learning_rate: float, clip: float) -> list[float]:
    run.optimizer.zero_grad()
    loss, above, below = 0.0, [math.nan] * 5, [math.nan] * 2
    if phase.forward < 1:
        above = _above(run, phase.batch, 1 - phase.forward)
        loss += (1 - phase.forward) * above[0]
    if phase.forward > 0:
        below = _below(run, phase.batch, phase.forward)
        loss -= phase.forward * below[0]
    norm = torch.nn.utils.clip_grad_norm_(run.flow.parameters(), clip).item()
    finite = math.isfinite(norm) and math.isfinite(loss)
    if finite:
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate
        run.optimizer.step()
    *above, sign = above
    below = below if run.bounds else [math.nan] * 2
    step = len(run.history) + 1
    return [step, *above, *below, norm, learning_rate, sign, float(not finite)]


def _above(run: _Run, batch: int, weight: float) -> list[float]:
    """F, its error, E, S and the minority's share of the signs, of a batch of the flow's samples.

    The gradients of the reverse bound, times its weight, are added to those of the parameters.
    """
    family = run.flow
    if not isinstance(family, Family):
        return _bound(family, run.beta, run, batch, weight)
    betas = family.betas(run.generator)
    share, weight = batch // len(betas), weight / len(betas)
    rows = [_bound(family.at(beta), beta, run, share, weight) for beta in betas]
    F, stderr, *rest = map(list, zip(*rows, strict=True))
    means = [sum(values) / len(betas) for values in (F, *rest)]
    return [means[0], math.hypot(*stderr) / len(betas), *means[1:]]


def _bound(flow: Flow, beta: float, run: _Run, batch: int, weight: float) -> list[float]:
    """Of one flow at one beta, what `_above` returns and adds."""
    if not flow.reparametrised:  # the score's baseline is the mean over all of a batch
        draw = flow.draw(batch, run.generator)
        energy, F = reverse(draw, run.system, beta)
        (weight * score_loss(F, draw.log_q)).backward()
        return _row(F, energy, draw.log_q, draw.sign)
    sizes = _parts(batch, flow.device)
    plain = type(flow).draw is Flow.draw  # then the numbers come first, whoever works with them
    like = next(flow.parameters())
    inputs = [flow.base.sample(k, run.generator, like) for k in sizes] if plain else sizes
    parameters = [p for p in run.flow.parameters() if p.requires_grad]

    def share(some: Any) -> tuple[list[Tensor], tuple[Tensor | None, ...]]:
        draw = flow.image(some) if plain else flow.draw(some, run.generator)
        energy, F = reverse(draw, run.system, beta)
        gradients = torch.autograd.grad(weight / batch * F.sum(), parameters, allow_unused=True)
        return [column.detach() for column in (F, energy, draw.log_q, draw.sign)], gradients

    with each_alone(len(sizes) if plain else 1) as each:
        columns, gradients = zip(*each(share, inputs), strict=True)
    for parameter, *shares in zip(parameters, *gradients, strict=True):
        for part in filter(lambda part: part is not None, shares):
            if parameter.grad is None:
                # the optimizer expects it laid out as the parameter is
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad += part
    return _row(*map(torch.cat, zip(*columns, strict=True)))


def _row(F: Tensor, energy: Tensor, log_q: Tensor, sign: Tensor) -> list[float]:
    return [*_mean(F), energy.mean().item(), -log_q.mean().item(), minority_fraction(sign)]


def _below(run: _Run, batch: int, weight: float) -> list[float]:
    """The forward bound on a batch of the samples, and its error; minus it adds its gradients."""
    choice = torch.randint(len(run.samples), (batch,), generator=run.generator)
    x = moved(run.samples[choice.to(run.samples.device)], run.system, run.generator)
    rows = []
    for part in x.split(_parts(batch, x.device)):
        F = run.system.energy(part) + cast(Flow, run.flow).log_prob(part) / run.beta
        (-weight / batch * F.sum()).backward()
        rows.append(F.detach())
    return _mean(torch.cat(rows))


def _parts(batch: int, device: torch.device) -> list[int]:
    """The sizes in which a batch is worked through."""
    size = CACHED if device.type == "cpu" else batch
    return [min(size, batch - start) for start in range(0, batch, size)]


def _mean(F: Tensor) -> list[float]:
    """The mean and its standard error."""
    return [F.mean().item(), F.std().item() / math.sqrt(len(F))]


def _news(row: Sequence[float]) -> str:
    _, above, _, _, _, below, *_ = row
    bounds = [f"{below:.3f} <" * math.isfinite(below), "F", f"< {above:.3f}" * math.isfinite(above)]
    return " ".join(filter(None, bounds)) if any(bounds[::2]) else "no bound"


def _refuse_divergence(history: list[list[float]]) -> None:
    recent = history[-PATIENCE:]
    if len(recent) == PATIENCE and all(row[_SKIPPED] for row in recent):
        raise TrainingDivergedError(
            f"loss or gradient was not finite for the {PATIENCE} steps up to {len(history)}, at a"
            f" learning rate of {recent[-1][_RATE]:g}; lower it, or clip the gradient more"
        )


def _is_sound(run: _Run) -> bool:
    """Whether it is worth going on from here: not in a row of bad steps, nor after a fatal one."""
    return not run.history[-1][_SKIPPED] and all(
        bool(parameter.isfinite().all()) for parameter in run.flow.parameters()
    )


def _goodbye(why: str, step: int, total: int, saved: Path | None) -> str:
    text = f"stopped by {why} after step {step} of {total}"
    return f"{text}; the same command goes on from {saved}" if saved and saved.exists() else text


def _resume(run: _Run, saved: Path) -> str:
    """Go on from what was saved; says why if it is damaged, and then the run is what it was."""
    try:
        state = checkpoint.load(saved)
    except checkpoint.CheckpointError as error:
        fault = f"{str(error).partition(';')[0]}; this training begins anew, and replaces it"
        _log.warning(fault)
        return fault
    _restore(run, state)
    return ""


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
