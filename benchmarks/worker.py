"""A contender in a process of its own: sets up, then does a turn whenever it is told to.

Usage: python -m benchmarks.worker MODULE:FUNCTION OPTIONS PROCESSORS   (the latter two as JSON)

The function gets the options by name, does all that is done once (imports, compilation, a first
turn), and returns what does a turn. A turn may return its own quantities; the time that it took
is measured here. What it has as ``summary`` is called at the end.

Each line of the input is a command, turn or summary; each line of the output is an answer.
"""

import json
import os
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    *("qdflow", "torch", "numpy", "numba", "zuko", "normflows", "snakemake"),
    *("jax", "jaxlib", "optax", "blackjax", "emcee"),
)


def environment(processors: int) -> dict[str, str]:
    """What makes every library use so many threads, which sleep while they wait."""
    pools = ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR")
    many = str(processors > 1).lower()
    return {f"{name}_NUM_THREADS": str(processors) for name in pools} | {
        "OMP_WAIT_POLICY": "passive",  # else the threads of the others would spin
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={many}"
        f" intra_op_parallelism_threads={processors}",
        "NPROC": str(processors),
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }


def processors() -> int:
    """How many this process may use."""
    return len(affinity())


def affinity() -> list[int]:
    """Which processors this process may use; macOS does not say, and cannot be told."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        if name in sys.modules:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    return found


def _turn(contender: Any) -> dict[str, Any]:
    start = time.perf_counter()
    own = contender()
    return {"seconds": time.perf_counter() - start} | (own or {})


def main() -> None:
    """Obey the commands until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, json.loads(sys.argv[3]))

    def answer(what: dict[str, Any]) -> None:
        print(json.dumps(what), file=answers, flush=True)

    try:
        module, _, function = sys.argv[1].partition(":")
        contender = getattr(import_module(module), function)(**json.loads(sys.argv[2]))
        answer({"versions": _versions()})
        for command in sys.stdin:
            summary = getattr(contender, "summary", dict)
            answer(_turn(contender) if command.strip() == "turn" else summary())
    except Exception as error:
        answer({"failure": f"{type(error).__name__}: {error}".splitlines()[0]})
        raise


if __name__ == "__main__":
    main()
