"""Time and memory per sample from 10 to 200 electrons, of each architecture and of Monte Carlo.

On one core. Hidden layers grow with n, from what the configuration has at n = 20. Each size runs
in a fork of its own, whose largest memory the system knows; what Python and torch take is taken
off.
"""

import json
import math
import os
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import FAILURE, Contender, Match, Row, row

SIZES = (10, 20, 50, 100, 200)
LEAST = 20  # electrons from which a power law is fitted: small sizes are overhead
LIMIT = 12.0  # seconds for a size, after which larger ones are left out
FLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "MLP": ("mlp", {"hidden": [64, 64]}),
    "autoregressive": ("autoregressive", {"hidden": [128, 128], "layers": 2}),
    "permutation": ("permutation", {"channels": [8, 8], "tied": True}),
    "rotation": ("rotation", {"hidden": [20, 20, 20]}),
    "transformer": (
        "transformer",
        {"hidden": [64, 64], "blocks": 1, "width": 16, "heads": 2},
    ),
    "convex": ("convex", {}),
    "leapfrog": ("leapfrog", {"refresh": 5}),
    "ordered": ("ordered", {}),
}
QUANTITIES = {
    "seconds of a draw": ("s", "seconds to draw a sample"),
    "seconds of a step": ("s", "seconds of training for each sample"),
    "seconds of a sweep": ("s", "seconds of a sweep for each chain"),
    "memory of a step": ("byte", "bytes for each sample of a part"),
}


def matches(quick: bool) -> list[Match]:
    """One for each architecture, and one for Monte Carlo."""
    sizes = SIZES[:3] if quick else SIZES
    flows = [
        _match(name, "flow", {"flow": flow, "options": options, "sizes": sizes})
        for name, (flow, options) in FLOWS.items()
    ]
    return [*flows, _match("Monte Carlo", "sweeps", {"sizes": sizes})]


def _match(name: str, make: str, options: Mapping[str, Any]) -> Match:
    contender = Contender(f"qdflow {name}", f"benchmarks.scaling:{make}", options)
    return Match("scaling", name, [contender], cores=1, rounds=1, extra=fits, patience=200)


def key(quantity: str, n: int) -> str:
    """The name of a quantity at a size."""
    return f"{quantity}, n = {n}"


def fits(rows: list[Row]) -> list[Row]:
    """Exponents of n, of three sizes or more from `LEAST` up."""
    from qdflow.stats import power_law

    found = []
    for quantity, (unit, note) in QUANTITIES.items():
        at = {}
        for each in rows:
            name, _, n = each["quantity"].partition(", n = ")
            if n and name == quantity:
                each["unit"], each["note"] = unit, note
                if math.isfinite(each["value"]) and each["value"] > 0:
                    at[int(n)] = each["value"]
        large = {n: value for n, value in at.items() if n >= LEAST} if len(at) > 3 else at
        if len(large) >= 3:
            b = power_law(list(large), list(large.values()))
            three = {"low": b.mean - b.stderr, "high": b.mean + b.stderr}
            found.append(row(rows[0], f"exponent of {quantity}", [b.mean], note=note) | three)
    for each in rows:
        if each["quantity"].startswith("failed at n"):
            found.append(row(each, FAILURE, note=f"it {each['quantity']}"))
    return found


def flow(flow: str, options: Mapping[str, Any], sizes: list[int]) -> Callable[[], dict[str, float]]:
    """Draws and training steps of an architecture."""
    import torch

    from qdflow import flows
    from qdflow.system import System
    from qdflow.train import Phase, train

    torch.set_num_threads(1)
    flows.load(flow)

    def at(n: int) -> dict[str, float]:
        system, generator = System(n), torch.Generator().manual_seed(0)
        wider = dict(options)
        if "hidden" in wider:
            wider["hidden"] = [math.ceil(width * n / 20) for width in wider["hidden"]]
        model = flows.build(flow, system, generator, **wider).float()
        batch = 256 if n <= 20 else 64 if n <= 50 else 16

        def draw() -> None:
            with torch.no_grad():
                model.draw(batch, generator)

        def step(batch: int) -> None:
            train(model, system, 1.0, [Phase(1, batch, 1e-6)], generator, clip=1.0)

        step(2)  # loads and compiles what stays
        before = _restarted_peak()
        step(batch)
        return {
            "memory of a step": max(_peak() - before, 0) / batch,
            "seconds of a draw": _seconds(draw) / batch,
            "seconds of a step": _seconds(lambda: step(batch)) / batch,
        }

    return lambda: _forked(at, sizes)


def sweeps(sizes: list[int]) -> Callable[[], dict[str, float]]:
    """Sweeps of `qdflow.mcmc`, 64 chains at a time."""
    from qdflow import mcmc
    from qdflow.system import System

    def at(n: int) -> dict[str, float]:
        system, rng = System(n), np.random.default_rng(0)
        chains, draws = 64, 5
        ladder = mcmc.Ladder(1.0, np.ones(chains), np.full(chains, 0.5))
        state = mcmc.init(system, rng.normal(size=(chains, n, 2)) * n**0.5)
        seconds = _seconds(lambda: mcmc.step(system, state, ladder, draws, 4, rng))
        return {"seconds of a sweep": seconds / (chains * draws * 4)}

    at(2)  # compiles
    return lambda: _forked(at, sizes)


def _seconds(action: Callable[[], object]) -> float:
    """The median of several, after one that does not count."""
    action()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 0.5 and len(times) < 50):
        if sum(times) > LIMIT / 2:
            break
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _restarted_peak() -> int:
    """Forget the largest memory so far, where the system can: what it is now."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _peak()


def _forked(at: Callable[[int], dict[str, float]], sizes: list[int]) -> dict[str, float]:
    """What each size gave, until one takes too long."""
    found: dict[str, float] = {}
    for n in sizes:
        start = time.perf_counter()
        values = _in_child(lambda n=n: at(n))
        if "failed" in values:
            return found | {f"failed at n = {n}: {values['failed']}": math.nan}
        found |= {key(name, n): value for name, value in values.items()}
        if time.perf_counter() - start > LIMIT:
            break
    return found


def _in_child(measure: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """What a fork of this process measured, or that it failed, and why."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = json.dumps(measure())
        except Exception as error:
            text = json.dumps({"failed": f"{type(error).__name__}: {error}".splitlines()[0]})
        os.write(writable, text.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answers:
        text = answers.read()
    os.waitpid(child, 0)
    return json.loads(text or '{"failed": "the process was killed"}')
