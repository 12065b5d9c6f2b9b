"""A flow along its training, and what its map does to the plane."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from qdflow import evolution, flows, frames, grids, plotting, snapshots, tables, warped
from qdflow.family import Family
from qdflow.snapshots import Snapshots
from qdflow.stats import Estimate
from qdflow.summary import QUANTITIES, rows
from qdflow.system import System
from qdflow.train import Phase, StoppedError, train

PHASES = [Phase(60, 64, 0.01)]
SYSTEM = System(3)


def built(seed=0, name="mlp"):
    return flows.build(name, SYSTEM, torch.Generator().manual_seed(seed))


def trained(folder, stop_at=None, saved=None):
    """The flow, its history, and the snapshots of a training, stopped in the middle if wanted."""
    flow = built()
    kept = Snapshots(flow, folder, 60)
    done = []

    def stop():
        done.append(1)
        return "the test" if len(done) == stop_at else ""

    history = train(
        flow,
        SYSTEM,
        10.0,
        PHASES,
        torch.Generator().manual_seed(1),
        saved=saved,
        report=kept.watching(lambda *_: None),
        stop=stop,
    )
    return flow, history, kept


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_steps_are_the_start_the_end_and_some_between():
    assert snapshots.steps(1) == [0, 1]
    chosen = snapshots.steps(4000)
    assert chosen[:2] == [0, 1]
    assert chosen[-1] == 4000
    assert len(chosen) == snapshots.NUMBER
    ratios = np.diff(np.log(chosen[4:]))
    assert np.ptp(ratios) < 0.1


def test_snapshots_change_no_bit_and_hold_the_parameters(tmp_path):
    flow, history, kept = trained(tmp_path / "kept")
    alone = built()
    expected = train(alone, SYSTEM, 10.0, PHASES, torch.Generator().manual_seed(1))
    assert history["F"] == expected["F"]
    assert same(flow.state_dict(), alone.state_dict())
    found = kept.gathered()
    assert found["steps"] == snapshots.steps(60)
    assert same(found["states"][0], built().state_dict())
    assert same(found["states"][-1], flow.state_dict())
    early = built()
    train(
        early,
        SYSTEM,
        10.0,
        [PHASES[0]._replace(steps=found["steps"][4])],
        torch.Generator().manual_seed(1),
    )
    assert same(found["states"][4], early.state_dict())
    kept.clear()
    assert not list(tmp_path.iterdir())


def test_a_training_that_goes_on_has_all_its_snapshots(tmp_path):
    with pytest.raises(StoppedError):
        trained(tmp_path / "kept", stop_at=20, saved=tmp_path / "saved.pt")
    _, _, kept = trained(tmp_path / "kept", saved=tmp_path / "saved.pt")
    _, _, whole = trained(tmp_path / "whole")
    one, other = kept.gathered(), whole.gathered()
    assert one["steps"] == other["steps"]
    assert all(map(same, one["states"], other["states"]))


def test_frames_are_samples_of_the_flow_at_that_step(tmp_path):
    flow, _, kept = trained(tmp_path)
    content = kept.gathered() | {"architecture": {"flow": "mlp"}, "system": {"n": 3}, "beta": 10.0}
    table = frames.frames(content, 10.0, "none", 50, seed=3)
    assert list(table.columns) == list(tables.FRAMES)
    assert table["step"].unique().tolist() == kept.steps
    x, log_q = flow.double().sample(50, torch.Generator().manual_seed(3))
    last = table[table["step"] == 60]
    assert np.allclose(tables.positions(last), x.detach().numpy())
    assert np.allclose(last["log_q"], log_q.detach().numpy())
    assert np.allclose(last["energy"], SYSTEM.energy(x.detach()).numpy())


@pytest.fixture
def paths(tmp_path, rng):
    """Tables of three frames, of which one is broken, and of a reference."""
    parts = []
    for step, size in ((0, 3.0), (1, np.nan), (50, 1.0)):
        x = rng.normal(size=(200, 3, 2))
        energy = size + rng.normal(size=200)
        frame = tables.configurations(x, energy=energy, log_q=0 * energy)
        parts.append(frame.assign(step=step)[list(tables.FRAMES)])
    found = pd.concat(parts, ignore_index=True)
    tables.write(found, tmp_path / "frames", tables.FRAMES, config={})
    x = tables.configurations(rng.normal(size=(200, 3, 2)), energy=np.zeros(200))
    tables.write(x, tmp_path / "samples", tables.SAMPLES, config={})
    cell = {"system": "dot", "n": 3, "trap": "harmonic", "beta": 2.0, "cell": "", "seed": 0}
    cell |= dict.fromkeys(("architecture", "symmetry", "objective", "verdict"), "")
    table = rows({"F": Estimate(0.5, 0.01, 100)}, {"F": "ladder"}, **cell)
    assert set(table["quantity"]) <= set(QUANTITIES)
    tables.write(table, tmp_path / "estimates", dict.fromkeys(table.columns, ""), config={})
    return [tmp_path / name for name in ("frames", "samples", "estimates")]


def test_an_evolution_is_read_with_what_is_known_of_each_frame(paths):
    of = evolution.read(*paths)
    assert (of.n, of.beta) == (3, 2.0)
    assert of.floor == pytest.approx(0.5 + np.log(6) / 2)
    assert [frame.step for frame in of.frames] == [0, 1, 50]
    assert of.frames[1].F is None
    assert of.frames[1].title == "step 1\nno F"
    assert abs(of.frames[2].F.sigmas_from(1)) < 4
    assert evolution.some(of.frames, 2) == [of.frames[0], of.frames[2]]


def test_a_film_has_a_picture_for_each_frame_and_the_same_bytes_again(paths, tmp_path):
    of = evolution.read(*paths)
    for name in "ab":
        evolution.film(of, "title", tmp_path / f"{name}.gif")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 3
        assert picture.info["loop"] == 0
        first = np.asarray(picture.convert("RGB"), int)
        picture.seek(2)
        assert np.abs(np.asarray(picture.convert("RGB")) - first).mean() > 1
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_frames_and_the_path_are_drawn(paths):
    of = evolution.read(*paths)
    _, axes = plotting.figure(4, "", axes=4)
    evolution.show_frames(axes[:3], [of.frames[0], of.frames[2]], of.x, of.half)
    evolution.show_path(axes[3], of, 2)
    assert [axis.get_title() for axis in axes[:3]][2] == "Monte Carlo"
    steps = axes[3].containers[0].lines[0].get_xdata()
    assert list(steps) == [0.5, 50]  # that without an F is left out


def test_the_grid_of_a_map_is_where_the_map_brings_it(generator):
    flow = built(name="mlp").double()
    table = grids.grid(flow, SYSTEM, generator)
    assert list(table.columns) == list(tables.GRID)
    assert len(table) == 3 + 2 * grids.LINES * grids.POINTS
    others = table[table["line"] == grids.OTHERS]
    z = torch.from_numpy(np.stack(others["z"].tolist()))
    assert np.allclose(flow.transform(z[None])[0][0].detach(), np.stack(others["x"].tolist()))
    point = table.iloc[1234]
    z[0] = torch.from_numpy(point["z"])
    assert np.allclose(flow.transform(z[None])[0][0, 0].detach(), point["x"])
    upright = np.stack(table.loc[table["line"] == 3, "z"].tolist())
    assert np.ptp(upright[:, 0]) == 0
    assert np.ptp(upright[:, 1]) > 2


def test_a_stretch_is_the_maps(generator):
    """x = 3 z everywhere."""

    class Thrice(type(built())):
        def transform(self, z):
            return 3 * z, z.new_zeros(len(z)), z.new_ones(len(z))

    flow = Thrice(SYSTEM, generator).double()
    table = grids.grid(flow, SYSTEM, generator)
    assert np.allclose(warped.stretch(table), 3)
    _, axes = plotting.figure(2, "")
    warped.show_grid(axes[0], table, "z")
    warped.show_grid(axes[1], table, "x")
    assert len(axes[0].lines) == 2 * grids.LINES + 2
    assert axes[1].get_xlim()[1] == pytest.approx(3 * axes[0].get_xlim()[1])
    assert not axes[1].child_axes
    small = table.assign(
        x=[x if line < 0 else 0.01 * x for line, x in zip(table["line"], table["x"])]
    )
    warped.show_grid(axes[1], small, "x")
    assert len(axes[1].child_axes[0].lines) == 2 * grids.LINES


@pytest.mark.parametrize("name", ["leapfrog", "convex"])
def test_maps_with_momenta_and_members_of_families_have_a_grid(name, generator):
    flow = flows.build(name, SYSTEM, generator)
    table = grids.grid(Family(flow, 1, 10).double().at(2.0), SYSTEM, generator)
    assert np.isfinite(np.stack(table["x"].tolist())).all()


def test_what_is_no_map_has_none(generator):
    with pytest.raises(ValueError, match="Ordered draws its samples one electron after the other"):
        grids.grid(built(name="ordered").double(), SYSTEM, generator)
