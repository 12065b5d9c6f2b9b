"""Parameters of a flow along its training."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from qdflow import checkpoint

NUMBER = 12  # of snapshots, evenly in the logarithm of the step


def steps(total: int) -> list[int]:
    """Those of a training of ``total`` steps that are kept: the start, the end, and between."""
    return [0, *np.unique(np.geomspace(1, total, NUMBER - 1).round().astype(int)).tolist()]


class Snapshots:
    """Keeps parameters in a folder while a training runs, and hands them out together.

    It draws no random numbers and changes nothing. A training that is killed and goes on finds
    those of before in the folder, and takes again what it passes again, with the same bits.
    """

    def __init__(self, module: nn.Module, folder: Path, total: int) -> None:
        """Of the module's parameters, at `steps` of ``total``; the start is kept at once."""
        self.module, self.folder, self.steps = module, folder, steps(total)
        self.keep(0)

    def keep(self, step: int) -> None:
        """Write the parameters as they are after this step, if it is one of those."""
        if step in self.steps:
            checkpoint.save(self.module.state_dict(), self._path(step))

    def watching(self, report: Callable[[int, int, str], None]) -> Callable[[int, int, str], None]:
        """A report for `qdflow.train.train`, which calls it after each step."""

        def watched(done: int, total: int, news: str) -> None:
            self.keep(done)
            report(done, total, news)

        return watched

    def gathered(self) -> dict[str, Any]:
        """The `steps` that are there, and their `states`."""
        there = [step for step in self.steps if self._path(step).exists()]
        return {"steps": there, "states": [checkpoint.load(self._path(step)) for step in there]}

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"{step}.pt"
