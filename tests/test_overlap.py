"""Log weights against Gaussians, whose overlap is known; ladders; what figures say."""

import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_parts

from qdflow import captions, climbing, overlap, pages, plotting
from qdflow.stats import iid_mean
from qdflow.summary import COLUMNS


@pytest.fixture
def ratio(rng):
    """ln p/q of samples of q = N(0, 1), for p = N(m, 1): normal, mean -m^2/2, variance m^2."""
    m, beta, F = 0.8, 2.0, 3.0
    x = rng.normal(size=200_000)
    log_q = -(x**2) / 2 - np.log(2 * np.pi) / 2
    energy = F + ((x - m) ** 2 / 2 + np.log(2 * np.pi) / 2) / beta
    return overlap.log_ratio(energy, log_q, beta, F)


def test_the_log_ratio_of_two_gaussians(ratio):
    assert abs(iid_mean(ratio).sigmas_from(-0.32)) < 4
    assert abs(iid_mean(np.exp(ratio)).sigmas_from(1)) < 4
    assert ratio.std() == pytest.approx(0.8, rel=0.01)


def test_the_histogram_has_both_sides(ratio):
    """Under q the mean is -m^2/2, under p it is m^2/2."""
    found = overlap.histogram(ratio, np.linspace(-4, 4, 81))
    middle, width = (found.edges[1:] + found.edges[:-1]) / 2, 0.1
    own, target = (
        np.exp(-((middle - mean) ** 2) / (2 * 0.64)) / np.sqrt(2 * np.pi * 0.64)
        for mean in (-0.32, 0.32)
    )
    seen = found.own * len(ratio) * width > 50
    assert np.abs((found.own - own)[seen] / found.stderr[seen]).max() < 5
    assert np.allclose(found.target[seen], target[seen], rtol=0.15, atol=0.01)
    assert found.own.sum() * width == pytest.approx(1, abs=1e-3)


def test_equal_weights_are_carried_by_all_alike():
    samples, weight = overlap.carried(np.zeros(100))
    assert np.allclose(samples, weight)
    _, weight = overlap.carried(np.array([0.0, -50.0, -50.0]))
    assert np.allclose(weight, 1)


def test_common_edges_hold_zero(ratio):
    edges = overlap.common_edges([ratio - 10, ratio - 20])
    assert edges[-1] > 0
    assert edges[0] < -20
    assert ((ratio - 20 > edges[0]).mean()) > 0.99


def test_the_histogram_and_the_shares_are_drawn(ratio):
    _, axes = plotting.figure(2, "")
    found = overlap.histogram(ratio, overlap.common_edges([ratio]))
    overlap.show_histograms(axes[0], [found], ["flow"])
    overlap.show_carried(axes[1], [ratio], ["flow"])
    assert axes[1].get_legend_handles_labels()[1] == ["flow", "q = p"]
    assert axes[0].get_yscale() == "log"


@pytest.fixture
def rungs():
    return pd.DataFrame(
        {
            "coupling": [0.0, 0.3, 1.0],
            "width": [1.0, 1.0, 1.0],
            "accepted": [0.4, 0.35, 0.41],
            "swapped": [0.5, 0.2, np.nan],
            "V_ee": [9.0, 5.0, 4.0],
            "V_ee_stderr": [0.1, 0.1, 0.1],
            "V_ee_ess": [100.0, 100.0, 100.0],
            "V_ee_r_hat": [1.001, 1.002, 1.02],
        }
    )


def test_a_ladder_is_read_and_its_weakest_rung_found(rungs):
    one = climbing.climb(rungs)
    assert one.swapped.tolist() == [0.5, 0.2]
    assert climbing.weakest(one.swapped) == (0.2, 1)
    assert climbing.weakest(one.accepted) == (0.35, 1)


def test_a_ladder_is_drawn_with_its_limits(rungs):
    one = climbing.climb(rungs)
    _, axes = plotting.figure(3, "")
    climbing.show_moves(axes[0], one)
    climbing.show_pair_energy(axes[1], one)
    climbing.show_r_hat(axes[2], one)
    assert axes[2].get_ylim()[1] > 0.02 > axes[2].lines[1].get_ydata()[0] == pytest.approx(0.01)
    assert axes[0].get_legend_handles_labels()[1][1] == "swaps of neighbours"
    assert len(axes[1].containers) == 1


def test_captions_show_what_was_written(tmp_path):
    """Whatever marks it has: of labels that users choose, too."""
    text = """
        The *first* flow_ has |det J| `here`.
        It goes on: 2 * 3.

        Second\\paragraph.
        """
    captions.write(text, tmp_path / "a.rst")
    shown = publish_parts((tmp_path / "a.rst").read_text(), writer="html")["body"]
    assert "<p>The *first* flow_ has |det J| `here`. It goes on: 2 * 3.</p>" in shown
    assert "<p>Second\\paragraph.</p>" in shown


def test_lists_are_sentences():
    assert captions.listed([]) == ""
    assert captions.listed("a") == "a"
    assert captions.listed(["a", "b", "c"]) == "a, b and c"


def test_a_page_shows_every_row_and_escapes_it(tmp_path):
    row = dict.fromkeys(COLUMNS, "") | {"n": 2, "seed": 0, "beta": 1.5, "quantity": "F"}
    rows = [
        row | {"mean": 1.2345, "stderr": 0.004, "ess": 10.0, "r_hat": 1.0, "cell": "<b>"},
        row | {"mean": np.nan, "stderr": np.nan, "ess": 1.0, "r_hat": np.nan},
    ]
    pages.write(pd.DataFrame(rows), "All of it", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<tr>") == 3
    assert "&lt;b&gt;" in text
    assert "<td>reference</td>" in text
    assert '<td class="number" data-key="1.2345">1.234(4)</td>' in text
    assert ">refused</td>" in text
    assert "http" not in text
