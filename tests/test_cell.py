"""The library in a notebook: names from qdflow, and one cell in memory."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import qdflow
from qdflow import Budget, Cell, Phase, System, cell, flows, public
from qdflow.flows.mlp import MLP
from qdflow.train import train
from qdflow.traps import Trap

SHORT = Phase(60, 64, 0.02, decay=0.2)


def test_public_names_are_what_they_say_and_no_module_hides_them():
    modules = {path.stem for path in Path(qdflow.__file__).parent.glob("*.py")}
    for name, where in public.WHERE.items():
        assert getattr(qdflow, name) is getattr(import_module(where), name)
        assert name not in modules  # once imported it would take the name's place
    assert set(public.WHERE) <= set(dir(qdflow))


def test_a_name_that_is_not_there_is_told_what_is():
    with pytest.raises(AttributeError, match=r"has no 'Sytem'; it has .*System"):
        qdflow.Sytem  # noqa: B018


def test_nothing_heavy_is_imported_for_a_light_module():
    heavy = "{'torch', 'matplotlib', 'numba', 'pandas'}"
    code = (
        f"import sys, qdflow; from qdflow import files; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    cell = Cell(System(n=2), "autoregressive", beta=2, seed=1, hidden=[8])
    cell.train(SHORT)
    cell.train(SHORT)
    return cell


def test_a_cell_is_what_its_parts_are():
    """The same seed and the same calls as by hand: the same bits."""
    system, generator = System(n=2), torch.Generator().manual_seed(1)
    flow = flows.build("autoregressive", system, generator, hidden=[8])
    history = train(flow, system, 2.0, [SHORT], generator, clip=10.0)
    cell = Cell(system, "autoregressive", beta=2.0, seed=1, hidden=[8])
    assert list(cell.train(SHORT)["F"]) == history["F"]
    x, log_q = flow.double().sample(5, generator)
    assert all(map(torch.equal, cell.sample(5), (x, log_q)))


def test_training_goes_on(trained):
    assert repr(trained).endswith("n=2, trap='harmonic'), beta=2, trained for 120 steps)")
    assert list(trained.history["step"]) == list(range(1, 121))
    assert trained.history["F"][-5:].mean() < trained.history["F"][:5].mean()


def test_a_cell_is_held_against_monte_carlo(trained):
    exact = trained.reference(budget := Budget(ladders=2, stderr_F=0.2, stderr_E=0.2, keep=500))
    assert trained.reference(budget) is exact
    found = trained.estimate(4000, symmetry="c4").estimates
    assert found["F"].minus(exact.estimates["F"]).sigmas_from(0) > -4
    assert 0 < found["symmetry_gain"].mean <= np.log(4) / 2


def test_a_figure_has_two_densities_and_the_training(trained, monkeypatch):
    quick = trained.reference(Budget(ladders=2, stderr_F=0.2, stderr_E=0.2, keep=500))
    monkeypatch.setattr(trained, "reference", lambda: quick)
    densities, exact, training, *_ = trained.figure(size=500).axes
    assert "Autoregressive: F = " in densities.get_title()
    assert "Monte Carlo: F = " in exact.get_title()
    assert len(training.lines[0].get_xdata()) == 120


def test_an_architecture_may_be_a_class_of_your_own():
    cell = Cell(System(n=1), MLP, beta=1, hidden=[2])
    assert isinstance(cell.flow, MLP)
    assert cell.sample(3)[0].dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"beta": 0}, "beta is 0; it must be a number above 0"),
        ({"beta": float("nan")}, "beta is nan; it must"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"system": 3}, "system is 3; give a System"),
        ({"architecture": "mpl"}, "unknown flow 'mpl'; choose from"),
        ({"architecture": 7}, "architecture is 7; give a name or a class"),
        ({"hiden": [4]}, "flow 'mlp' has no option 'hiden'; choose from hidden"),
    ],
)
def test_what_cannot_be_is_refused(change, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        Cell(**{"system": System(n=2), "architecture": "mlp", "beta": 1} | change)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda cell: cell.train(), "the phases are"),
        (lambda cell: cell.train((10, 10, 0.1)), "give one or more, as in Phase"),
        (lambda cell: cell.train(Phase(10, 10, 0.1, forward=0.5)), "a forward bound needs samples"),
        (lambda cell: cell.sample(0), "size is 0; it must be a whole number from 1 up"),
        (lambda cell: cell.estimate(10, symmetry="c5"), "unknown group 'c5'; choose from"),
    ],
)
def test_what_cannot_be_asked_is_refused(call, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        call(Cell(System(n=2), "mlp", beta=1, hidden=[4]))


def test_a_symmetry_that_the_trap_lacks_is_refused(monkeypatch):
    oval = Trap(lambda x, y: x * x + 4 * y * y, lambda x, y: (2 * x, 8 * y), 2, "c2v")
    monkeypatch.setattr(cell, "TRAPS", {"harmonic": oval})
    one = Cell(System(n=2), "autoregressive", beta=1, hidden=[4])
    with pytest.raises(ValueError, match="symmetry is 'c4', but turns and mirrors of the harmonic"):
        one.estimate(10, symmetry="c4")
    assert one.density("c2v").symmetry == "c2v"


def test_nothing_is_drawn_of_a_training_that_was_not():
    with pytest.raises(ValueError, match="call train first"):
        Cell(System(n=1), "mlp", beta=1, hidden=[2]).figure()
