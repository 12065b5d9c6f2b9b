"""Seconds of training until the variational F of a fresh flow is below a target.

F and its error come from fresh samples in float64, between two steps, while the clock stands. A
target is reached when F + 2 sigma is below it. The learning rate follows the schedule of the whole
training, which goes on to the lowest target: an early stop does not change how it got there.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import RATIO, Contender, Match, Row, row

N, BETA = 20, 10.0
FILE = Path(__file__).with_name("targets.yaml")
JAX_STEPS, JAX_BATCH, NOTEBOOK = 500, 8192, 162.77


def matches(quick: bool) -> list[Match]:
    """One, of all cells of targets.yaml and of the notebook's training in JAX."""
    spec = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    shared = {key: spec[key] for key in ("targets", "samples", "seconds")}
    if quick:
        shared |= {"samples": 256, "seconds": 1}
    ours = [
        Contender(
            f"qdflow {name}",
            "benchmarks.time_to_target:ours",
            {"cell": cell, **shared},
            note=f"{sum(phase['steps'] for phase in cell['phases'])} steps planned",
        )
        for name, cell in spec["cells"].items()
    ]
    options = {"batch": 64 if quick else JAX_BATCH, "steps": 1 if quick else 5}
    theirs = Contender(
        "JAX float64",
        "benchmarks.train_step:jax",
        options,
        note=f"{JAX_STEPS} steps of {JAX_BATCH:,}, as the notebook had; {options['steps']} timed",
    )
    match = Match(
        "time_to_target",
        f"n {N}, beta {BETA:g}",
        [*ours, theirs],
        rounds=1 if quick else spec["rounds"],
        seconds=math.inf,
        compared=seconds_to(NOTEBOOK),
        patience=30 + 4 * shared["seconds"],
        extra=against_the_notebook,
    )
    return [match]


def seconds_to(target: float) -> str:
    """The name of the quantity."""
    return f"seconds to F < {target:g}"


def against_the_notebook(rows: list[Row]) -> list[Row]:
    """What 500 steps take in JAX, and how many times as fast ours got to where these ended."""
    name = seconds_to(NOTEBOOK)
    steps = [r for r in rows if r["contender"] == "JAX float64" and r["quantity"] == "seconds"]
    found = []
    for step in steps:
        total = {key: JAX_STEPS * step[key] for key in ("value", "low", "high")}
        found.append(row(step, name, unit="s") | total | {"note": step["note"]})
        for own in rows:
            if (
                own["quantity"] == name
                and own["contender"].startswith("qdflow")
                and math.isfinite(own["value"])
            ):
                ratio = {
                    "value": total["value"] / own["value"],
                    "low": total["low"] / own["high"],
                    "high": total["high"] / own["low"],
                }
                found.append(
                    row(step, RATIO, against=own["contender"])
                    | ratio
                    | {"note": f"to F < {NOTEBOOK}"}
                )
    return found


def ours(
    cell: Mapping[str, Any], targets: list[float], samples: int, seconds: float
) -> Callable[[], dict[str, float]]:
    """A whole training a turn; each begins with another seed."""
    import torch

    from benchmarks.worker import processors
    from qdflow import flows
    from qdflow.system import System
    from qdflow.train import Phase, StoppedError, train

    torch.set_num_threads(processors())
    system = System(N)
    phases = [Phase(**phase) for phase in cell["phases"]]
    wanted = sorted((t for t in targets if t >= cell["until"]), reverse=True)

    def fresh(generator: Any) -> Any:
        flow = flows.build(system=system, generator=generator, **cell["architecture"])
        return flow.to(getattr(torch, cell["precision"]))

    first = torch.Generator().manual_seed(0)
    warm = fresh(first)
    batch = phases[0].batch
    train(warm, system, BETA, [Phase(2, batch, 1e-4)], first, cell["clip"])
    free_energy(warm, system, 64, first)
    seeds = iter(range(1, 1000))

    def turn() -> dict[str, float]:
        seed = next(seeds)
        generator, looks = (torch.Generator().manual_seed(s) for s in (seed, 10_000 + seed))
        flow = fresh(generator)
        watch = Watch(flow, system, wanted, cell["every"], samples, seconds, looks)
        calls = {"report": watch.report, "stop": watch.stop}
        with suppress(StoppedError):
            train(flow, system, BETA, phases, generator, cell["clip"], **calls)
        return watch.values(targets)

    return turn


class Watch:
    """A clock that stands while F is looked at."""

    def __init__(
        self,
        flow: Any,
        system: Any,
        targets: list[float],
        every: int,
        samples: int,
        limit: float,
        generator: Any,
    ) -> None:
        """Targets from the highest to the lowest."""
        self.flow, self.system, self.left, self.every = flow, system, list(targets), every
        self.samples, self.limit, self.generator = samples, limit, generator
        self.reached: dict[float, float] = {}
        self.start, self.looking, self.steps = time.perf_counter(), 0.0, 0
        self.last = (math.nan, math.nan)

    def report(self, done: int, total: int, _news: str) -> None:
        """Look, if it is time to."""
        self.steps = done
        if done and (done % self.every == 0 or done == total):
            begin = time.perf_counter()
            seconds = begin - self.start - self.looking
            self._look(seconds)
            self.looking += time.perf_counter() - begin

    def stop(self) -> str:
        """Why to stop, empty to go on."""
        if not self.left:
            return "the last target"
        return "the clock" if time.perf_counter() - self.start > self.limit else ""

    def values(self, targets: list[float]) -> dict[str, float]:
        """The seconds to each target, infinite where it was not reached."""
        return {seconds_to(t): self.reached.get(t, math.inf) for t in targets} | {
            "seconds": time.perf_counter() - self.start - self.looking,
            "steps": self.steps,
            "F": self.last[0],
            "error of F": self.last[1],
        }

    def _look(self, seconds: float) -> None:
        # a few samples tell that it is far off, and cost little
        mean, error = free_energy(self.flow, self.system, self.samples // 8, self.generator)
        if self.left and mean - 3 * error < self.left[0]:
            mean, error = free_energy(self.flow, self.system, self.samples, self.generator)
            while self.left and mean + 2 * error < self.left[0]:
                self.reached[self.left.pop(0)] = seconds
        self.last = mean, error


def free_energy(flow: Any, system: Any, samples: int, generator: Any) -> tuple[float, float]:
    """The variational F and its standard error, from fresh samples in float64."""
    import torch

    exact = copy.deepcopy(flow).double()
    with torch.no_grad():
        parts = [exact.draw(min(512, samples - k), generator) for k in range(0, samples, 512)]
    F = torch.cat([system.energy(p.x) + p.log_q / BETA for p in parts])
    return F.mean().item(), F.std().item() / math.sqrt(len(F))
