"""95 % intervals cover the truth in 91 to 98 % of many runs, for every kind of estimate."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracles import two_electrons
from scipy.stats import norm

from qdflow import problems
from qdflow.coverage import Problem, autoregressive, measured, row
from qdflow.stats import Estimate, iid_mean

PAGE = Path(__file__).parents[1] / "docs/validation.md"
ALL = {problem.name: problem for problem in problems.all_problems()}
RUNS = {"shifted by one sigma": 400, "shifted by 1.4 sigma": 200}
RUNS |= {"two electrons, the whole sampler": 200, "a ladder of normal energies": 200}
RUNS |= {"annealing between normal densities": 200}
LEFT_TO_THE_PAGE = {
    "shifted by half a sigma",
    "half as wide again, in 4 dimensions",
    "a tenth too narrow, in 2 dimensions",
    "a fifth too narrow",
}


@pytest.mark.parametrize("name", sorted(set(ALL) - LEFT_TO_THE_PAGE))
def test_intervals_cover_the_truth(name):
    found = measured(ALL[name], RUNS.get(name, 600))
    assert {c.kind for c in found} == set(ALL[name].truth)
    assert not [row(c) for c in found if not c.holds]


def stretched(factor):
    """The mean of normal numbers, with error bars that are too long by a factor."""

    def run(rng):
        one = iid_mean(rng.normal(size=500))
        return {"right": one, "wrong": one._replace(stderr=factor * one.stderr)}

    return Problem("a mean", {"right": 0.0, "wrong": 0.0}, run, 1000)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_error_bars_that_are_wrong_by_a_little_are_found(factor):
    right, wrong = measured(stretched(factor))
    assert right.holds
    assert not wrong.holds
    assert abs(wrong.covered.sigmas_from(2 * norm.cdf(1.96 * factor) - 1)) < 4
    assert wrong.error == pytest.approx(factor * right.error)
    assert wrong.pull[1] == pytest.approx(right.pull[1] / factor)


def test_an_estimate_that_is_off_is_found():
    def run(rng):
        one = iid_mean(rng.normal(size=500))
        return {"biased": one._replace(mean=one.mean + one.stderr)}

    (found,) = measured(Problem("a biased mean", {"biased": 0.0}, run, 400))
    assert not found.holds
    assert found.pull[0] == pytest.approx(1, abs=0.2)


def test_runs_are_their_own_and_the_same_again():
    seen = []

    def run(rng):
        seen.append(rng.normal())
        return {"x": Estimate(seen[-1], 1.0, 1)}

    first, again, other = (
        measured(Problem(name, {"x": 0.0}, run), 5) for name in ("one", "one", "other")
    )
    assert first == again
    assert len(set(seen)) == 10
    assert other != first


def test_a_kind_that_is_always_refused_is_an_error():
    refused = problems.bounds.refused(1.0, "no overlap")
    with pytest.raises(ValueError, match="0 of 3 runs of 'hopeless' gave an estimate of bar"):
        measured(Problem("hopeless", {"bar": 0.0}, lambda _rng: {"bar": refused}, 3))


def test_chains_have_their_correlation(rng):
    x = autoregressive(rng, 2000, 20, 0.7)
    assert abs(iid_mean(x[:, 0] ** 2).sigmas_from(1)) < 4
    assert abs(iid_mean(x[:, -1] ** 2).sigmas_from(1)) < 4
    assert abs(iid_mean(x[:, 4] * x[:, 7]).sigmas_from(0.7**3)) < 4


def test_the_truth_of_two_electrons_is_the_quadrature():
    assert two_electrons(10.0)[0] == pytest.approx(problems.TWO_ELECTRONS, abs=1e-9)


@pytest.mark.parametrize("name", ["shifted by one sigma", "half as wide again, in 4 dimensions"])
def test_truths_of_normal_densities_are_integrals(name):
    shift, s, d = {"s": (1.0, 1.0, 1), "h": (0.0, 1.5, 4)}[name[0]]
    y = np.linspace(-30, 30, 200_001)
    p, q = norm.pdf(y, shift), norm.pdf(y, 0, s)
    integral = lambda f: np.trapezoid(f, y)  # noqa: E731
    H, truth = (y - shift) ** 2 / 2 / problems.BETA, ALL[name].truth
    E = integral(q * H)
    assert truth["E"] == pytest.approx(d * E)
    assert truth["S"] == pytest.approx(-d * integral(q * norm.logpdf(y, 0, s)))
    assert truth["F"] == pytest.approx(truth["E"] - truth["S"] / problems.BETA)
    assert truth["C"] == pytest.approx(d * problems.BETA**2 * integral(q * (H - E) ** 2))
    assert truth["ess"] == pytest.approx(integral(p**2 / q) ** -d)
    F = -d * np.log(integral(np.exp(-problems.BETA * H))) / problems.BETA
    assert truth["lfep"] == truth["bar"] == pytest.approx(F)
    lost = integral(p * (norm.logpdf(y, shift) - norm.logpdf(y, 0, s)))
    assert truth["lower"] == pytest.approx(F - d * lost / problems.BETA)
    assert truth["E, snis"] == pytest.approx(d * integral(p * H))


def test_the_page_has_every_kind_of_every_problem_and_all_hold_but_one():
    table = PAGE.read_text().partition("<!-- coverage -->")[2].partition("<!-- end of")[0]
    rows = re.findall(r"^\| (.+) \|$", table, re.M)[2:]  # the page has other tables, too
    cells = [line.split(" | ") for line in rows]
    wanted = [(kind, p.name) for p in ALL.values() for kind in p.truth]
    assert [tuple(line[:2]) for line in cells] == wanted
    missed = [tuple(line[:2]) for line in cells if line[-1] != "yes"]
    assert missed == [("ess", "a fifth too narrow")]


def test_the_tests_that_the_page_names_are_there():
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", PAGE.read_text())
    assert len(named) > 10
    for file, name in named:
        assert f"def {name}(" in (PAGE.parents[1] / file).read_text(), name
