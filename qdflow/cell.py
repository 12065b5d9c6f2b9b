"""One cell in memory: a flow for a system at one beta, trained, judged and drawn in a few lines."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from qdflow import checks, densities, flows, plotting
from qdflow.estimate import FlowEstimate, estimate
from qdflow.flows.base import Flow
from qdflow.groups import POINT_GROUPS, holds
from qdflow.progress import progress
from qdflow.reference import Budget, Reference, reference
from qdflow.symmetry import Averaged
from qdflow.system import System
from qdflow.train import HISTORY, Phase, train
from qdflow.traps import TRAPS

QUICK = Budget(ladders=4, stderr_F=0.05, stderr_E=0.05, keep=5000)


class Cell:
    """A flow for a system at one inverse temperature, as the pipeline has it, without its files.

    What it does depends on the seed and on the order of the calls alone.

    Attributes:
        system: gives H.
        beta: inverse temperature, in the inverse of the trap's energy unit.
        flow: of the architecture, in float64 unless you change it.
        history: of all trainings so far, a row a step, with the columns `qdflow.train.HISTORY`.
    """

    system: System
    beta: float
    flow: Flow
    history: pd.DataFrame

    def __init__(
        self,
        system: System,
        architecture: str | Callable[..., Flow],
        beta: float,
        seed: int = 0,
        **options: Any,
    ) -> None:
        """A flow with parameters drawn at random.

        Args:
            system: gives n and H.
            architecture: a name in `qdflow.flows.NAMES`, or a class of your own that is made from
                (system, generator, options).
            beta: inverse temperature, above 0.
            seed: of all random numbers.
            options: of the architecture.

        Raises:
            ValueError: beta or the seed cannot be, no architecture has that name, or an option has
                a value that cannot be.
            TypeError: the architecture has no such option; or the system or the architecture is
                something else.
        """
        checks.positive(beta=beta)
        checks.count(0, seed=seed)
        if not isinstance(system, System):
            raise TypeError(f"system is {system!r}; give a System, as in System(n=3)")
        if not (isinstance(architecture, str) or callable(architecture)):
            raise TypeError(f"architecture is {architecture!r}; give a name or a class")
        self.system, self.beta, self._seed = system, beta, seed
        self._generator = torch.Generator().manual_seed(seed)
        if isinstance(architecture, str):
            self.flow = flows.build(architecture, system, self._generator, **options)
        else:
            self.flow = architecture(system, self._generator, **options)
        self.history = pd.DataFrame(columns=list(HISTORY), dtype=float)
        self._references: dict[Budget, Reference] = {}

    def __repr__(self) -> str:
        """What it is, and how far it is trained."""
        flow, steps = type(self.flow).__name__, len(self.history)
        return f"Cell({flow}, {self.system}, beta={self.beta:g}, trained for {steps} steps)"

    def train(self, *phases: Phase, clip: float = 10.0) -> pd.DataFrame:
        """Bring down the variational F, from the Hamiltonian alone; goes on if called again.

        Args:
            phases: steps, batch and learning rate, one after the other.
            clip: largest norm of a gradient.

        Returns:
            The history of these phases, a row a step.

        Raises:
            TrainingDivergedError: loss or gradient stayed non-finite.
            TypeError: there is no phase, or something else.
            ValueError: a phase asks for the forward bound, which needs `qdflow.train.train`.
        """
        if not phases or not all(isinstance(phase, Phase) for phase in phases):
            raise TypeError(
                f"the phases are {phases!r}; give one or more, as in Phase(200, 128, 0.01)"
            )
        with progress("train", None) as report:
            found = train(
                self.flow, self.system, self.beta, phases, self._generator, clip, report=report
            )
        new = pd.DataFrame(found).assign(step=lambda rows: rows["step"] + len(self.history))
        self.history = pd.concat([self.history, new]) if len(self.history) else new
        return new

    def density(self, symmetry: str = "none") -> Flow:
        """The flow as it is now, in float64; averaged over a group of the plane, if one is named.

        Raises:
            ValueError: no group has that name, the trap lacks it, or the flow has no exact
                log_prob.
        """
        own = TRAPS[self.system.trap].group
        if symmetry in POINT_GROUPS and not holds(own, symmetry):
            raise ValueError(
                f"symmetry is {symmetry!r}, but turns and mirrors of the {self.system.trap} trap"
                f" are those of {own!r}; take that group or a part of it"
            )
        flow = copy.deepcopy(self.flow).double()
        return flow if symmetry == "none" else Averaged(flow, symmetry)

    @torch.no_grad()
    def sample(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x (size, n, 2) and ln q(x) (size,), in float64.

        Raises:
            ValueError: the size is no whole number from 1 up.
        """
        checks.count(1, size=size)
        return self.density().sample(size, self._generator)

    def estimate(self, size: int = 20_000, symmetry: str = "none") -> FlowEstimate:
        """What the flow says of itself on fresh samples: F, <E>, S and more, in float64.

        Args:
            size: samples.
            symmetry: a group to average the density over first, see `density`.

        Raises:
            ValueError: as `density`; or an energy or a density is not finite.
        """
        density = self.density(symmetry)
        return estimate(density, self.system, self.beta, size, self._generator)

    def reference(self, budget: Budget = QUICK) -> Reference:
        """The exact answer from Monte Carlo, which knows no flow; the same budget is sampled once.

        Raises:
            FrozenChainError: a chain is stuck at the end of the budget.
        """
        if budget not in self._references:
            with progress("reference", None) as report:
                found = reference(self.system, self.beta, budget, self._seed, report=report)
            self._references[budget] = found
        return self._references[budget]

    def figure(self, title: str = "", size: int = 20_000, symmetry: str = "none") -> Figure:
        """The densities of the flow and of Monte Carlo, and the training: as the talk's result.

        Raises:
            ValueError: nothing was trained yet; or as `estimate`.
        """
        if self.history.empty:
            raise ValueError("there is no training to draw; call train first")
        found, exact = self.estimate(size, symmetry), self.reference()
        is_bound = not found.verdict.startswith("failed")  # else the map folds: F means nothing
        F, F_exact = found.estimates["F"], exact.estimates["F"]
        said = f"F = {F}" if is_bound else "no bound"
        names = [f"{type(self.flow).__name__}: {said}", f"Monte Carlo: F = {F_exact}"]
        step, above, stderr = (self.history[key].to_numpy() for key in ("step", "F", "F_stderr"))
        floor = F_exact.mean + math.lgamma(self.system.n + 1) / self.beta
        own = f"n = {self.system.n}, {self.system.trap} trap, β = {self.beta:g}"
        with plotting.style():
            drawn, axes = plotting.figure(3, title or own)
            densities.show_densities(axes[:2], [found.x, exact.x], names)
            final = F if is_bound else None
            plotting.show_training(axes[2], step, above, stderr, final, F_exact, floor)
        return drawn
