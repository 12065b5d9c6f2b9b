import itertools
import re

import numpy as np
import pytest
from oracles import SHIPPED, heat_of_two_electrons, one_electron, two_electrons

from qdflow import climbing, free_energy, ladder, mcmc
from qdflow.coverage import autoregressive
from qdflow.reference import Budget, FrozenChainError, reference, refuse_stuck
from qdflow.stats import chain_mean, iid_mean
from qdflow.system import TRAPS, System

QUICK = Budget(ladders=4, draws=1000, warmup=200, stderr_F=0.03, stderr_E=0.03)


@pytest.mark.parametrize("beta", [0.5, 10.0])
@pytest.mark.parametrize("trap", SHIPPED)
def test_ideal_free_energy_is_exact(trap, beta):
    exact, _ = one_electron(trap, beta)
    assert free_energy.ideal_free_energy(System(3, trap), beta) == pytest.approx(3 * exact, 1e-11)


@pytest.mark.parametrize("trap", SHIPPED)
def test_one_electron(trap):
    result = reference(System(1, trap), 2.0, QUICK, seed=1)
    F, E = one_electron(trap, 2.0)
    assert result.estimates["F"].mean == pytest.approx(F, 1e-11)
    assert abs(result.estimates["E"].sigmas_from(E)) < 4
    degrees = 2 / TRAPS[trap].degree  # H is a gamma variable, of a shape that is its C
    assert abs(result.estimates["C"].sigmas_from(degrees)) < 4
    assert result.verdict == "converged"


@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_two_electrons_against_quadrature(beta):
    result = reference(System(2), beta, QUICK, seed=2, threads=2)
    F, E = two_electrons(beta)
    known = {"F": F, "E": E, "S": beta * (E - F), "C": heat_of_two_electrons(beta)}
    for name, exact in (known | {"virial": 0, "centre_of_mass": 0}).items():
        assert abs(result.estimates[name].sigmas_from(exact)) < 4, name
    assert result.estimates["F"].stderr <= 0.03 / beta
    assert result.estimates["E"].stderr <= 0.03 / beta
    assert result.verdict == "converged"


def test_the_quadrature_agrees_with_the_published_numbers():
    assert two_electrons(10.0) == pytest.approx((1.5767894, 1.6526045), abs=1e-7)


def test_twenty_electrons_satisfy_the_identities():
    result = reference(System(20, "quartic"), 2.0, QUICK, seed=3, threads=2)
    assert abs(result.estimates["virial"].sigmas_from(0)) < 4
    assert "centre_of_mass" not in result.estimates  # Gaussian in the harmonic trap only
    assert max(result.r_hat.values()) < 1.01


def test_the_seed_decides_and_the_threads_do_not():
    one, two, other = (
        reference(System(3), 5.0, QUICK, seed=seed, threads=threads)
        for seed, threads in ((1, 1), (1, 2), (2, 1))
    )
    assert np.array_equal(one.x, two.x)
    assert one.estimates == two.estimates
    assert one.estimates["F"] != other.estimates["F"]


def test_saved_configurations_are_decorrelated_draws_of_p():
    result = reference(System(2), 10.0, QUICK._replace(draws=4000, keep=1000), seed=4)
    assert 500 <= len(result.x) <= 1000
    x1, x2 = result.x[:, 0], result.x[:, 1]
    energy = (x1**2 + x2**2).sum(1) + 1 / np.linalg.norm(x1 - x2, axis=1)
    assert abs(iid_mean(energy).sigmas_from(two_electrons(10.0)[1])) < 4
    per_chain = energy.reshape(4, -1)
    assert chain_mean(per_chain).ess > 0.7 * energy.size


def test_giving_up_is_said():
    budget = QUICK._replace(stderr_F=1e-6, max_draws=1500)
    result = reference(System(2), 10.0, budget, seed=1)
    assert "not converged in 1500 draws: stderr of F is" in result.verdict


def test_bar_is_that_of_pymbar(rng):
    """The influence series averages to pymbar's BAR, and gives its error for independent works."""
    from pymbar import bar

    couplings = np.array([0.0, 1.0])
    low, high = rng.normal(1.0, 1.0, (2, 5000)), rng.normal(0.0, 1.0, (2, 5000))
    series = free_energy.ladder_free_energy(np.stack([low, high], -1), couplings, 1.0)
    known = bar(low.ravel(), -high.ravel())
    assert series.mean() == pytest.approx(known["Delta_f"], abs=1e-9)
    assert chain_mean(series).stderr == pytest.approx(known["dDelta_f"], rel=0.06)


def test_respaced_rungs_are_equally_far_apart():
    """<V_ee> = 1/(lambda + 0.1) has a known metric."""
    couplings = np.linspace(0, 1, 400)
    mean = lambda c: 1 / (c + 0.1)  # noqa: E731
    new = ladder.respaced(mcmc.Ladder(50.0, couplings, couplings), mean(couplings), 1.0)
    far = [np.sqrt(50 * (b - a) * (mean(a) - mean(b))) for a, b in itertools.pairwise(new)]
    assert (new[0], new[-1]) == (0, 1)
    assert np.ptp(far) < 0.05 * np.mean(far)
    assert 0.7 < np.mean(far) <= 1.02


@pytest.mark.parametrize("coupling", [0.0, 1e-3, 1.0])
def test_the_sampler_recovers_from_coincident_electrons(coupling, rng):
    """The energy starts at +inf; products and differences of infinities must freeze no pair."""
    x = np.zeros((1, 6, 2))
    x[0, 4:] = 1e-12
    state = mcmc.init(System(6), x)
    assert state.pair_energy[0] == np.inf
    one_rung = mcmc.Ladder(10.0, np.full(1, coupling), np.full(1, 0.2))
    state, info = mcmc.step(System(6), state, one_rung, 200, 2, rng)
    assert np.isfinite(info.pair_energy[-100:]).all()
    assert len(np.unique(state.x[0], axis=0)) == 6
    assert info.accepted[0] > 0.1
    assert (np.abs(state.x) < 5).all()


@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_moves_in_single_precision_bias_nothing_that_shows(beta, rng):
    """64 chains of n = 2 at lambda = 1, whose <H> is known by quadrature."""
    system, width = System(2), 0.5 / np.sqrt(beta)
    chains = mcmc.Ladder(beta, np.ones(64), np.full(64, width))
    state, _ = mcmc.step(system, ladder.gas(system, chains, rng), chains, 500, 2, rng)
    _, info = mcmc.step(system, state, chains, 10_000, 4, rng)
    found = chain_mean((info.trap_energy + info.pair_energy).T)
    assert abs(found.mean - two_electrons(beta)[1]) < 4 * found.stderr
    assert found.stderr < 1e-3 / beta * 2


@pytest.mark.parametrize("n", [1, 2])
def test_a_step_leaves_the_state_it_started_from(n, rng):
    start = mcmc.init(System(n), rng.normal(size=(2, n, 2)))
    before = start.x.copy()
    pair = mcmc.Ladder(1.0, np.array([0.0, 1.0]), np.ones(2))
    after, _ = mcmc.step(System(n), start, pair, 10, 1, rng)
    assert np.array_equal(start.x, before)
    assert not np.array_equal(after.x, before)


def test_energies_reported_are_those_of_the_frames(rng):
    system = System(7, "quartic")
    tuned = ladder.spaced(system, 2.0, 1.5, rng)
    state, _ = mcmc.step(system, ladder.gas(system, tuned, rng), tuned, 100, 1, rng)
    _, info = mcmc.step(system, state, tuned, 50, 1, rng)
    again = mcmc.init(system, info.frames)
    np.testing.assert_allclose(info.trap_energy[:, -1], again.trap_energy, rtol=1e-12)
    np.testing.assert_allclose(info.pair_energy[:, -1], again.pair_energy, rtol=1e-12)
    assert (np.diff(info.pair_energy.mean(0)) < 0).mean() > 0.9
    assert ((info.swapped > 0) & (info.swapped < 1)).all()
    assert (np.abs(info.accepted - ladder.ACCEPTANCE) < 0.15).all()
    assert climbing.WANTED == ladder.ACCEPTANCE  # figures say so without what samples


def test_planted_frozen_chain_is_named(rng):
    """A chain of real Metropolis moves, too wide to be accepted, from two near electrons."""
    system = System(4)
    energies, accepted = [], []
    for k, width in enumerate([0.3, 0.3, 1e4, 0.3]):
        x = rng.normal(size=(1, 4, 2))
        x[0, 1] = x[0, 0] + (1e-3 if k == 2 else 0.5)
        at_one = mcmc.Ladder(10.0, np.ones(1), np.full(1, width))
        state, _ = mcmc.step(system, mcmc.init(system, x), at_one, 100, 2, rng)
        _, info = mcmc.step(system, state, at_one, 500, 2, rng)
        energies.append((info.trap_energy + info.pair_energy)[:, 0])
        accepted.append(info.accepted[0])
    with pytest.raises(FrozenChainError, match=r"chain 2 is frozen: it accepted 0\.0%"):
        refuse_stuck(np.array(energies), np.array(accepted))
    keep = [0, 1, 3]
    refuse_stuck(np.array(energies)[keep], np.array(accepted)[keep])


def test_the_reference_refuses_a_ladder_that_does_not_move(monkeypatch):
    """One ladder of four is stuck: the job ends, instead of averaging over it."""
    real, ladders = mcmc.step, []

    def stuck(system, state, rungs, draws, sweeps, generator):
        if generator not in ladders:
            ladders.append(generator)
        after, info = real(system, state, rungs, draws, sweeps, generator)
        if ladders.index(generator) != 2:  # 0 is the pilot's
            return after, info
        still = np.ones((draws, 1))
        return state, info._replace(
            trap_energy=still * state.trap_energy,
            pair_energy=still * state.pair_energy,
            accepted=0 * info.accepted,
        )

    monkeypatch.setattr(mcmc, "step", stuck)
    with pytest.raises(FrozenChainError, match="chain 1 is frozen"):
        reference(System(3), 5.0, QUICK._replace(max_draws=1500), seed=1)


def test_broken_identities_are_in_the_verdict(monkeypatch):
    """A sampler at another temperature converges to the wrong density, and is found out."""
    real = mcmc.step

    def warmer(system, state, rungs, *rest):
        return real(system, state, rungs._replace(beta=0.8 * rungs.beta), *rest)

    monkeypatch.setattr(mcmc, "step", warmer)
    verdict = reference(System(3), 5.0, QUICK._replace(max_draws=3000), seed=1).verdict
    assert re.search(r"virial is .*, which should be 0", verdict)
    assert re.search(r"centre_of_mass is .*, which should be 0", verdict)


def test_compiled_energies_that_differ_from_h_stop_the_job(monkeypatch):
    shallow = TRAPS["harmonic"]._replace(potential=_shallow)
    monkeypatch.setattr("qdflow.traps.harmonic.trap", shallow)
    right = System.trap_energy
    monkeypatch.setattr(System, "trap_energy", lambda self, x: 2 * right(self, x))
    with pytest.raises(RuntimeError, match=r"the compiled energies .* differ from H"):
        reference(System(2), 5.0, QUICK._replace(max_draws=1000), seed=1)


def _shallow(x, y):
    return 0.9 * (x * x + y * y)


def test_works_that_are_not_finite_are_refused(rng):
    works = rng.normal(size=(2, 100, 2))
    works[1, 5, 0] = np.inf
    with pytest.raises(ArithmeticError, match="a work is not finite"):
        free_energy.ladder_free_energy(works, np.array([0.0, 1.0]), 1.0)


def test_a_chain_that_moves_in_the_wrong_place_is_named(rng):
    energy = 160.9 + autoregressive(rng, 8, 2000, 0.8)
    energy[5] += 3
    with pytest.raises(FrozenChainError, match="chain 5 is frozen"):
        refuse_stuck(energy, np.full(8, 0.4))


def test_healthy_chains_pass():
    for seed in range(50):
        energy = autoregressive(np.random.default_rng(seed), 8, 500, 0.9)
        refuse_stuck(energy, np.full(8, 0.4))


def test_init_refuses_what_is_no_configuration():
    with pytest.raises(ValueError, match=r"need finite configurations \(rungs, 3, 2\)"):
        mcmc.init(System(3), np.zeros((1, 4, 2)))
    with pytest.raises(ValueError, match="1 numbers that are not finite"):
        mcmc.init(System(1), np.array([[[np.nan, 0.0]]]))
