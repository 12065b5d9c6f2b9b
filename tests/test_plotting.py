import re

import matplotlib as mpl
import numpy as np
import pytest

from qdflow import densities, plotting
from qdflow.stats import Estimate


def test_densities_count_the_electrons(rng):
    x = 0.3 * rng.normal(size=(4000, 7, 2))
    half = 3.0
    density = densities.density_map(x, half)
    cell = (2 * half / len(density)) ** 2
    assert density.sum() * cell == pytest.approx(7, rel=1e-12)
    profile = densities.radial_profile(x, half)
    width = profile.r[1] - profile.r[0]
    assert (profile.density * 2 * np.pi * profile.r * width).sum() == pytest.approx(7, rel=1e-12)


def test_profiles_of_a_gaussian_are_within_their_errors(rng):
    x = rng.normal(size=(20000, 5, 2))
    r, density, stderr = densities.radial_profile(x, 2.5, bins=25)
    edges = np.linspace(0, 2.5, 26)
    mass = np.exp(-(edges[:-1] ** 2) / 2) - np.exp(-(edges[1:] ** 2) / 2)
    exact = 5 * mass / (np.pi * np.diff(edges**2))
    z = (density - exact) / stderr
    assert np.abs(z).max() < 4.5
    assert 0.6 < z.std() < 1.4
    assert r[0] == 0.05


def test_maps_show_x_along_the_columns():
    x = np.full((10, 1, 2), [0.9, -0.9])
    density = densities.density_map(x, 1.0)
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert column > len(density) * 0.9
    assert row < len(density) * 0.1


def test_extent_holds_nearly_all(rng):
    x = rng.normal(size=(1000, 20, 2))
    assert (np.abs(x) < densities.extent(x, 0.1 * x)).mean() > 0.999


@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_the_same_figure_gives_the_same_bytes(kind, tmp_path, rng):
    F = 10 + np.exp(-np.arange(100.0))
    x = rng.normal(size=(500, 3, 2))
    final, exact = Estimate(10.0, 0.01, 100), Estimate(9.0, 0.02, 100)
    before = dict(mpl.rcParams)
    for name in "ab":
        with plotting.style():
            drawn, axes = plotting.figure(3, "title")
            densities.show_densities(axes[:2], [x, x], ["flow", "MC"])
            plotting.show_training(axes[2], np.arange(100), F, 0.1 * F, final, exact, 9.5)
            plotting.save(drawn, tmp_path / f"{name}.{kind}")
    assert dict(mpl.rcParams) == before
    content = (tmp_path / f"a.{kind}").read_bytes()
    assert content == (tmp_path / f"b.{kind}").read_bytes()
    assert not re.search(b"CreationDate|tIME", content)  # the two may fall in one second
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a.{kind}", f"b.{kind}"]


def test_every_pair_is_counted_at_its_distance(rng):
    x = rng.uniform(-1, 1, size=(400, 4, 2))
    r, density, _ = densities.pair_distances(x, 3.0, bins=30)
    width = r[1] - r[0]
    assert density.sum() * width == pytest.approx(6, rel=1e-12)
    direct = [np.hypot(*(c[i] - c[j])) for c in x for i in range(4) for j in range(i)]
    counts = np.histogram(direct, np.linspace(0, 3, 31))[0]
    assert np.allclose(density * width * 400, counts)


def test_pairs_of_gaussians_are_within_their_errors(rng):
    """Two independent normal vectors differ by a Rayleigh distance of scale sqrt(2)."""
    x = rng.normal(size=(20000, 3, 2))
    _r, density, stderr = densities.pair_distances(x, 4.0, bins=20)
    edges = np.linspace(0, 4, 21)
    exact = 3 * np.diff(-np.exp(-(edges**2) / 4)) / (edges[1] - edges[0])
    assert np.abs((density - exact) / stderr).max() < 4.5


def test_every_series_is_drawn_where_it_belongs():
    n, values = np.array([6, 20, 200]), np.array([1e-3, 1e-2, 1.0])
    _drawn, (axis, _) = plotting.figure(2, "title")
    plotting.show_scaling(axis, [n, n], [values, 2 * values], [0.1 * values] * 2, ["a", "b"])
    lines = [c.lines[0].get_xydata() for c in axis.containers]
    assert np.array_equal(lines[1], np.stack([n, 2 * values], 1))
    assert [t.get_text() for t in axis.get_xticklabels()] == ["6", "20", "200"]
    assert axis.get_legend_handles_labels()[1] == ["a", "b"]


def test_a_figure_of_nothing_says_so():
    """As of a run whose flows all failed, or were estimated in too few chunks to be timed."""
    _drawn, (axis,) = plotting.figure(1, "title")
    plotting.show_scaling(axis, [], [], [], [])
    assert [text.get_text() for text in axis.texts] == ["nothing to show"]


def test_a_training_without_a_bound_shows_no_final_point():
    F, exact = 10 + np.exp(-np.arange(100.0)), Estimate(9.0, 0.02, 100)
    _drawn, axes = plotting.figure(2, "title")
    for axis, final in zip(axes, (Estimate(10.0, 0.01, 100), None)):
        plotting.show_training(axis, np.arange(100), F, 0.1 * F, final, exact, 9.5)
    labels = [axis.get_legend_handles_labels()[1] for axis in axes]
    assert "fresh samples" in labels[0]
    assert "fresh samples" not in labels[1]


def test_figures_fit_what_they_are_drawn_for():
    """For slides side by side, for a column two beside each other at most, and nothing wider."""
    with plotting.style(plotting.SLIDES):
        drawn, axes = plotting.figure(3, "title")
        assert {axis.get_subplotspec().rowspan.start for axis in axes} == {0}
        assert drawn.get_size_inches()[0] == pytest.approx(18.3)
        assert plotting.scaled(10) == 10
    with plotting.style(plotting.COLUMN):
        for drawn, axes in (
            plotting.figure(3, "title"),
            (plotting.stacked(4, "title")[0], plotting.stacked(4, "title")[1]),
            (plotting.twins(3, "title")[0], plotting.twins(3, "title")[2]),
        ):
            assert drawn.get_size_inches()[0] <= plotting.COLUMN.width
            assert {axis.get_subplotspec().colspan.start for axis in axes} <= {0, 1}
        assert mpl.rcParams["font.size"] == 8
        assert plotting.width(16.5) == plotting.COLUMN.width
        last = plotting.figure(3, "title")[1][-1].get_subplotspec()
        assert list(last.colspan) == [0, 1]  # it takes what is left of its row
    assert plotting.scaled(10) == 10


def test_colours_differ_for_any_vision():
    """Okabe & Ito's, each with a lightness or a hue of its own; no two alike as greys and hues."""
    seen = [mpl.colors.to_rgb(colour) for colour in plotting.COLOURS]
    assert len(set(plotting.COLOURS)) == len(seen) == 7
    # what deuteranopes see, by Vienot, Brettel & Mollon, Color Res. Appl. 24, 243 (1999)
    linear = np.array(seen) ** 2.2
    matrix = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
    reduced = (linear @ np.transpose(matrix)).clip(0, 1) ** (1 / 2.2)
    apart = np.linalg.norm(reduced[:, None] - reduced, axis=-1)[np.triu_indices(7, 1)]
    assert apart.min() > 0.15


def test_publishing_draws_in_both_sizes(tmp_path):
    sizes = []

    def draw():
        drawn, _axes = plotting.figure(1, "title")
        sizes.append(mpl.rcParams["font.size"])
        return drawn

    paths = [[tmp_path / "a.png", tmp_path / "a.pdf"], [tmp_path / "b.pdf"]]
    plotting.publish(draw, *paths)
    assert sizes == [15, 8]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pdf", "a.png", "b.pdf"]
