"""What a job asks a cluster for: memory and time by what it computes, more if it was not enough.

The numbers are upper bounds with a margin, from trainings on one core of a small machine. They
are no part of a result: nothing is computed again when they change, and where nobody hands out
memory and time, on a laptop, nobody looks at them.
"""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import settings
from schema import ConfigError

DEVICES = ("auto", "cpu", "cuda")  # those of qdflow.device, known here without torch
GROWTH = 2  # of both, from one attempt to the next

BASE_MB = 1500  # Python with torch and its compiled loops takes 500
GPU_MB = 1500  # more, for what keeps a GPU busy
PAIR_MB = 3e-3  # of a training step, for a pair of electrons of one sample; measured: below 1.5e-3
CONFIGURATION_MB = 1e-3  # the same without gradients

FLOOR_MINUTES = 10  # to start, compile and write
SMALL_MINUTES = 5  # of which a dozen may share a job, one after the other
MARGIN = 5  # for slower cores, and for neighbours
# Seconds of a core for a sample of a training step at n = 20; the most that was measured.
SECONDS = {
    "autoregressive": 4e-5,
    "convex": 8e-4,
    "leapfrog": 2e-4,
    "mlp": 2e-4,
    "ordered": 8e-4,
    "permutation": 2.5e-4,
    "rotation": 1e-4,
    "transformer": 2.5e-4,
}
FAMILY = 3  # a step of a family over that of a flow
INVERSE = 20  # ln q at a given x over a sample's, where it takes a search
LEAPS = 5  # gradients of a move that anneals
REFERENCE_MINUTES = 60  # with n = 20 and an error of F of 0.02 kT


class Need(NamedTuple):
    """Of one job at its first attempt."""

    mem_mb: float
    minutes: float


class Site(NamedTuple):
    """What is up to the user and not to the configuration, as no number depends on it.

    Attributes:
        device: that a flow is computed on, one of `DEVICES`.
        time: factor of all times asked for.
    """

    device: str = "auto"
    time: float = 1.0


def site(environ: Mapping[str, str] = os.environ) -> Site:
    """From QDFLOW_DEVICE and QDFLOW_SLURM_TIME; unset or empty they are as if not there.

    Raises:
        ConfigError: one of them is no device, or no factor.
    """
    device = environ.get("QDFLOW_DEVICE") or "auto"
    if device not in DEVICES:
        raise ConfigError(f"QDFLOW_DEVICE is {device!r}; choose from {', '.join(DEVICES)}")
    text = environ.get("QDFLOW_SLURM_TIME") or "1"
    try:
        time = float(text)
    except ValueError:
        time = math.nan
    if not 0 < time < math.inf:
        raise ConfigError(f"QDFLOW_SLURM_TIME is {text!r}; it must be a factor above 0")
    return Site(device, time)


def resources(need: Callable[[Any], Need], at: Site) -> dict[str, Callable[[Any, int], int]]:
    """The `resources` of a rule whose jobs need ``need(wildcards)``: mem_mb, and runtime in min."""

    def mem_mb(wildcards: Any, attempt: int) -> int:
        return math.ceil(need(wildcards).mem_mb * GROWTH ** (attempt - 1))

    def runtime(wildcards: Any, attempt: int) -> int:
        return math.ceil(need(wildcards).minutes * at.time * GROWTH ** (attempt - 1))

    return {"mem_mb": mem_mb, "runtime": runtime}


def small(_: Any = None) -> Need:
    """Of a job that reads tables and writes one, or draws a figure."""
    return Need(BASE_MB, SMALL_MINUTES)


def reference(system: str, beta: str, config: Mapping[str, Any]) -> Need:
    """Of a Monte Carlo run: it grows with n^2.5, and with the square of the precision."""
    n, budget = config["systems"][system]["n"], settings.reference_budget(system, beta, config)
    precision = max((0.02 / budget["stderr_F"]) ** 2, (0.01 / budget["stderr_E"]) ** 2)
    effort = (n / 20) ** 2.5 * min(precision, budget["max_draws"] / 1e4)
    return Need(BASE_MB + 500, 3 * FLOOR_MINUTES + REFERENCE_MINUTES * effort)


def train(cell: str, config: Mapping[str, Any]) -> Need:
    """Of a training, by its largest batch and by all of its samples."""
    spec = config["cells"][cell]
    training = config["trainings"][spec["training"]]
    largest = max(phase["batch"] for phase in training["phases"])
    drawn = sum(phase["steps"] * phase["batch"] for phase in training["phases"])
    double = 2 if training["precision"] == "float64" else 1
    seconds = drawn * _seconds(cell, config) * double
    return _need(cell, config, BASE_MB + GPU_MB, largest * PAIR_MB * double, seconds)


def estimate(cell: str, config: Mapping[str, Any]) -> Need:
    """Of an estimate, in float64."""
    budget = config["estimate"]
    chunk = min(budget["chunk"], budget["samples"])
    seconds = 2 * budget["samples"] * _seconds(cell, config)
    return _need(cell, config, BASE_MB + GPU_MB, chunk * CONFIGURATION_MB, seconds)


def audit(cell: str, config: Mapping[str, Any]) -> Need:
    """Of an audit: signs at three places, and searches from many starts."""
    budget = config["audit"]
    looked_at = 3 * budget["samples"] + INVERSE * budget["preimages"] * (1 + budget["starts"])
    seconds = 2 * looked_at * _seconds(cell, config)
    return _need(cell, config, BASE_MB, budget["samples"] * CONFIGURATION_MB, seconds)


def bounds(cell: str, config: Mapping[str, Any]) -> Need:
    """Of bounds from both sides: ln q at samples that are not the flow's own."""
    samples = config["bounds"]["samples"]
    seconds = 2 * INVERSE * samples * _seconds(cell, config)
    return _need(cell, config, BASE_MB, min(samples, 1000) * CONFIGURATION_MB, seconds)


def anneal(cell: str, config: Mapping[str, Any]) -> Need:
    """Of annealing in both directions, with as many steps as are allowed."""
    budget = config["cells"][cell]["anneal"]
    gradients = 2 * LEAPS * budget["chains"] * budget["max_steps"]
    seconds = gradients * _seconds(cell, config)
    return _need(cell, config, BASE_MB + GPU_MB, 2 * budget["chains"] * PAIR_MB, seconds)


def _need(
    cell: str, config: Mapping[str, Any], base: float, mb_a_pair: float, seconds: float
) -> Need:
    n = config["systems"][config["cells"][cell]["system"]]["n"]
    return Need(base + mb_a_pair * n**2, FLOOR_MINUTES + MARGIN * seconds / 60)


def _seconds(cell: str, config: Mapping[str, Any]) -> float:
    """Of a core for one sample of a training step; of an unknown flow as of the slowest."""
    spec = config["cells"][cell]
    flow = config["architectures"][spec["architecture"]]["flow"]
    n = config["systems"][spec["system"]]["n"]
    # a determinant grows with n^3, pairs with n^2; few electrons cost what many small calls do
    seconds = SECONDS.get(flow, max(SECONDS.values())) * max(n / 20, (n / 20) ** 3, 0.2)
    images = 4 if spec["averaging"] == "in_the_loss" else 1
    return seconds * images * (FAMILY if "family" in spec else 1)
