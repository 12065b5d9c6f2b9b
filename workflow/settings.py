"""From a configuration that its schema allows to cells: checked, and expanded before any job."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import declared
from schema import ConfigError, known, number

from qdflow.groups import holds

FORWARD = {"reverse": 0.0, "forward": 1.0}  # weight of the forward bound in every phase
CATEGORIES = ("the talk", "symmetry", "trust", "beyond the talk", "all numbers")  # of the report


class Cell(NamedTuple):
    """A flow at one beta with one seed.  name, beta and seed are its path."""

    name: str
    beta: str
    seed: int


class Comparison(NamedTuple):
    """All seeds of a cell at one beta, and of the one it is held against (none: its own flow)."""

    cell: list[Cell]
    against: list[Cell]


class Matrix(NamedTuple):
    """All that is to be computed.

    Attributes:
        references: (system, beta) to sample by Monte Carlo.
        cells: flows to train.
        figures: the cells of each figure.
        comparisons: in the order of the configuration.
    """

    references: list[tuple[str, str]]
    cells: list[Cell]
    figures: dict[str, list[Cell]]
    comparisons: dict[str, Comparison]


def matrix(config: Mapping[str, Any]) -> Matrix:
    """Expand a checked and completed configuration.

    Raises:
        ConfigError: a name that nothing has, a beta that is none, a cell twice.
    """
    budget = config["reference"]
    if budget["max_draws"] < budget["draws"]:
        raise ConfigError(
            f"reference.max_draws is {budget['max_draws']}, below reference.draws, which is"
            f" {budget['draws']}; raise the one or lower the other"
        )
    cells = [
        Cell(name, beta, seed)
        for name, spec in config["cells"].items()
        for beta in _checked_cell(name, spec, config)
        for seed in spec["seeds"]
    ]
    wanted = [
        (config["cells"][c.name]["system"], c.beta)
        for c in cells
        if "family" not in config["cells"][c.name]
    ]
    for index, spec in enumerate(config["references"]):
        key = f"references[{index}]"
        known(f"{key}.system", spec["system"], config["systems"], "systems")
        wanted += [(spec["system"], beta) for beta in betas(spec["beta"], f"{key}.beta")]
    figures = {name: _figure_cells(name, config) for name in config["figures"]}
    comparisons = {name: _comparison(name, config) for name in config["comparisons"]}
    held = {f"figures.{name}": shown for name, shown in figures.items()}
    held |= {f"comparisons.{name}": [*a, *b] for name, (a, b) in comparisons.items()}
    for key, shown in held.items():
        _refuse_without_reference(key, shown, set(wanted), config)
    return Matrix(list(dict.fromkeys(wanted)), cells, figures, comparisons)


def looks(cell: Cell, matrix: Matrix, config: Mapping[str, Any]) -> list[str]:
    """The rules that look at a trained flow: the audit, and others where there is a reference."""
    spec = config["cells"][cell.name]
    if (spec["system"], cell.beta) not in matrix.references:
        return ["audit"]
    return ["audit", "bounds"] + ["anneal"] * ("anneal" in spec)


def canonical_beta(value: float | str, key: str = "beta") -> str:
    """The one spelling of an inverse temperature: 1, 1.0 and 1e0 are all "1".

    Raises:
        ConfigError: not a positive finite number.
    """
    beta = number(value)
    if not (math.isfinite(beta) and beta > 0):
        raise ConfigError(f"{key} is {value!r}; an inverse temperature is a number above 0")
    return f"{beta:.12g}"


def betas(value: Any, key: str) -> list[str]:
    """One or several inverse temperatures in their canonical spelling.

    Raises:
        ConfigError: one is no positive number, or stands there twice.
    """
    spelled = [canonical_beta(b, key) for b in (value if isinstance(value, list) else [value])]
    for beta in spelled:
        if spelled.count(beta) > 1:
            raise ConfigError(f"{key} holds {beta} twice, as {value}; leave one of them out")
    return spelled


def phases(name: str, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases of a cell's training, each with the weight ``forward`` of the forward bound."""
    spec = config["cells"][name]
    default = {"forward": FORWARD.get(spec["objective"], 0.0)}
    return [default | phase for phase in config["trainings"][spec["training"]]["phases"]]


def reference_budget(system: str, beta: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """How long to sample one system at one beta, the first of its entries having the last word."""
    own = [
        {"stderr_F": spec["stderr_F"]}
        for spec in config["references"]
        if spec["system"] == system and "stderr_F" in spec and beta in betas(spec["beta"], "")
    ]
    return dict(config["reference"]) | (own[0] if own else {})


def exact_log_prob() -> list[str]:
    """Flows that can be averaged over a group, or learn from samples."""
    return [f for f in declared.names(declared.FLOWS) if declared.architecture(f).exact_log_prob]


def alike() -> list[str]:
    """Flows that can be annealed."""
    return [f for f in declared.names(declared.FLOWS) if declared.architecture(f).alike]


def seed_of(*words: Any) -> int:
    """A seed that belongs to these words alone; below 2^63."""
    return int(digest(words), 16) >> 1


def digest(content: Any) -> str:
    """A short name for this content."""
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _checked_cell(name: str, spec: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    for key, table in (
        ("system", "systems"),
        ("architecture", "architectures"),
        ("training", "trainings"),
    ):
        known(f"cells.{name}.{key}", spec[key], config[table], table)
    architecture = config["architectures"][spec["architecture"]]
    flow = declared.architecture(architecture["flow"])
    if sentence := flow.impossible(config["systems"][spec["system"]]["n"], architecture):
        raise ConfigError(f"architectures.{spec['architecture']}.{sentence} (cell {name})")
    for key, plain, what in (
        ("symmetry", "none", "averaging"),
        ("objective", "reverse", "a likelihood"),
    ):
        if spec[key] != plain and not flow.exact_log_prob:
            raise ConfigError(
                f"cells.{name}.{key} is {spec[key]!r}, but {what} needs an exact log_prob, which a"
                f" flow {architecture['flow']!r} lacks; choose from {', '.join(exact_log_prob())}"
            )
    trap = config["systems"][spec["system"]]["trap"]
    own = declared.group_of_trap(trap)
    if spec["symmetry"] != "none" and not holds(own, spec["symmetry"]):
        raise ConfigError(
            f"cells.{name}.symmetry is {spec['symmetry']!r}, but turns and mirrors of the trap"
            f" {trap!r} are those of {own!r}; take that group or a part of it, or none"
        )
    if sentence := _ambiguous(spec, config["trainings"][spec["training"]]["phases"]):
        raise ConfigError(f"cells.{name}.objective is {spec['objective']!r}, but {sentence}")
    if "anneal" in spec and (sentence := _no_annealing(spec, architecture["flow"], config)):
        raise ConfigError(f"cells.{name}.anneal{sentence}")
    if spec["averaging"] == "in_the_loss" and spec["symmetry"] == "none":
        raise ConfigError(
            f"cells.{name}.averaging is 'in_the_loss', but its symmetry is 'none'; name a group"
        )
    spelled = betas(spec["beta"], f"cells.{name}.beta")
    if "family" in spec and (sentence := _no_family(name, spelled, config)):
        raise ConfigError(f"cells.{name}.{sentence}")
    return spelled


def _no_annealing(spec: Mapping[str, Any], flow: str, config: Mapping[str, Any]) -> str:
    """Why such a cell cannot be annealed; empty if it can."""
    if not declared.architecture(flow).alike:
        return f" is given, but a flow {flow!r} is labelled; choose from {', '.join(alike())}"
    least, chains = 4 * config["reference"]["ladders"], spec["anneal"]["chains"]
    if chains < least:
        return f".chains is {chains}, below four for each of reference.ladders; take {least}"
    return ""


def _no_family(name: str, spelled: list[str], config: Mapping[str, Any]) -> str:
    """Why a cell cannot be one flow for all these betas; empty if it can."""
    spec = config["cells"][name]
    low, high, each = (spec["family"][key] for key in ("low", "high", "temperatures"))
    if not 0 < low < high:
        return f"family is from {low} to {high}, no range of beta; take 0 < low < high"
    if outside := [beta for beta in spelled if not low <= float(beta) <= high]:
        return f"beta holds {outside[0]}, outside of its family's {low} to {high}; widen the range"
    for key, plain in (("objective", "reverse"), ("averaging", "afterwards")):
        if spec[key] != plain:
            return f"{key} is {spec[key]!r}, which a family cannot have; leave it {plain!r}"
    for k, phase in enumerate(config["trainings"][spec["training"]]["phases"]):
        if phase["batch"] % each or phase["batch"] < 2 * each:
            return (
                f"family.temperatures is {each}, among which the batch of {phase['batch']} of"
                f" trainings.{spec['training']}.phases[{k}] cannot be split; take a multiple"
            )
    return ""


def _ambiguous(spec: Mapping[str, Any], phases: list[Mapping[str, Any]]) -> str:
    """Why these phases leave open what is minimised; empty if they do not."""
    key, given = f"trainings.{spec['training']}.phases", [phase.get("forward") for phase in phases]
    if spec["objective"] == "reverse" and "teacher" in spec:
        return _unlearned(key, given)
    if spec["objective"] != "mixed":
        stray = [k for k, weight in enumerate(given) if weight is not None]
        return f"{key}[{stray[0]}] has a weight 'forward'; leave one of them out" if stray else ""
    if None in given:
        return f"{key}[{given.index(None)}] lacks the weight 'forward'; add it"
    for objective, weight in FORWARD.items():
        if all(w == weight for w in given):
            return f"all {key} have the weight forward: {weight:g}; write {objective!r}"
    return ""


def _unlearned(key: str, given: list[float | None]) -> str:
    """Why these weights are not those of one who learns from a teacher, and then alone."""
    if not any(given):
        return f"no phase of {key} learns from the teacher; add a weight 'forward' to the first"
    if given[-1]:
        return (
            f"the last of {key} has the weight forward: {given[-1]:g}, of the teacher's samples;"
            " end with a phase without one"
        )
    return ""


def _figure_cells(name: str, config: Mapping[str, Any]) -> list[Cell]:
    spec = config["figures"][name]
    shown = spec["flows"]
    kind = declared.figure(spec["kind"])
    least, most = kind.flows
    if not least <= len(shown) <= most:
        raise ConfigError(
            f"figures.{name}.flows holds {len(shown)} flows; kind {spec['kind']} shows"
            f" {least if least == most else f'at least {least}'}"
        )
    _refuse_options_of_others(name, spec)
    expand = _over_betas if kind.betas == "all" else _at_one_beta
    cells = expand(name, config)
    for cell in cells:
        _refuse_unfit(name, kind, cell.name, config)
    if "run/comparisons" in kind.inputs.values() and not config["comparisons"]:
        raise ConfigError(f"figures.{name} draws the comparisons, and there are none; add some")
    return cells


def _at_one_beta(name: str, config: Mapping[str, Any]) -> list[Cell]:
    """The cells of a figure of one system at one beta."""
    shown = config["figures"][name]["flows"]
    cells = [one_cell(f"figures.{name}.flows[{k}]", one, config) for k, one in enumerate(shown)]
    if len(systems := {(config["cells"][c.name]["system"], c.beta) for c in cells}) > 1:
        raise ConfigError(
            f"figures.{name}.flows are of {len(systems)} systems or betas,"
            f" {', '.join(f'{s} at beta {b}' for s, b in sorted(systems))}; show one at a time"
        )
    return cells


def _refuse_options_of_others(name: str, spec: Mapping[str, Any]) -> None:
    for key in spec:
        kinds = [kind for kind in declared.figures() if key in declared.figure(kind).options]
        if kinds and spec["kind"] not in kinds:
            which = f"kind{'s' * (len(kinds) > 1)} {' and '.join(kinds)}"
            verb = "draw" if len(kinds) > 1 else "draws"
            raise ConfigError(
                f"figures.{name} has {key}, which only the {which} {verb}; leave them"
            )


def _refuse_unfit(name: str, kind: declared.Figure, cell: str, config: Mapping[str, Any]) -> None:
    """Refuse a cell that has not what the figure shows."""
    spec = config["cells"][cell]
    flow = config["architectures"][spec["architecture"]]["flow"]
    if "flow/grid" in kind.inputs.values() and not declared.architecture(flow).is_map:
        raise ConfigError(
            f"figures.{name} shows what a map does to z, but cells.{cell} has the flow {flow!r},"
            " which is none; choose another cell"
        )
    if "family" in spec and any(table.startswith("training/") for table in kind.inputs.values()):
        raise ConfigError(
            f"figures.{name} shows a training at one beta, and cells.{cell} is a family;"
            " choose another kind"
        )
    if "flow/anneal" in kind.inputs.values() and "anneal" not in spec:
        raise ConfigError(
            f"figures.{name} shows what annealing does, but cells.{cell} has no 'anneal'; add it"
        )
    n = config["systems"][spec["system"]]["n"]
    if n < kind.electrons:
        raise ConfigError(
            f"figures.{name} shows {kind.electrons} electrons or more, but cells.{cell} has {n};"
            " choose another cell"
        )
    if kind.averaged and spec["symmetry"] == "none":
        raise ConfigError(
            f"figures.{name} shows what averaging does, but cells.{cell}.symmetry is"
            " 'none'; choose a cell that is averaged"
        )


def _over_betas(name: str, config: Mapping[str, Any]) -> list[Cell]:
    """The cells of a figure over beta: each flow that is shown, at all its betas."""
    cells = []
    for k, spec in enumerate(config["figures"][name]["flows"]):
        key = f"figures.{name}.flows[{k}]"
        if "beta" in spec:
            raise ConfigError(f"{key}.beta is {spec['beta']!r}, but all are shown; leave it out")
        known(f"{key}.cell", spec["cell"], config["cells"], "cells")
        values = config["cells"][spec["cell"]]["beta"]
        values = values if isinstance(values, list) else [values]
        cells += [one_cell(key, spec | {"beta": beta}, config) for beta in values]
    if len(systems := {config["cells"][c.name]["system"] for c in cells}) > 1:
        raise ConfigError(
            f"figures.{name}.flows are of {len(systems)} systems, {', '.join(sorted(systems))};"
            " show one at a time"
        )
    return cells


def _refuse_without_reference(
    key: str, cells: list[Cell], references: set[tuple[str, str]], config: Mapping[str, Any]
) -> None:
    """Refuse what is held against Monte Carlo where nobody asked for any: only families can be.

    Of a figure over all betas, one with a reference is enough.
    """
    systems = [config["cells"][cell.name]["system"] for cell in cells]
    missing = [
        f"{s} at beta {c.beta}"
        for s, c in zip(systems, cells, strict=True)
        if (s, c.beta) not in references
    ]
    section, _, name = key.partition(".")
    curves = (
        section == "figures" and declared.figure(config["figures"][name]["kind"]).betas == "all"
    )
    if missing and not (curves and len(missing) < len(cells)):
        raise ConfigError(
            f"{key} needs the reference of {missing[0]}, which a family does not bring along;"
            " add it to references"
        )


def _comparison(name: str, config: Mapping[str, Any]) -> Comparison:
    spec = config["comparisons"][name]
    key = f"comparisons.{name}"
    sides = {side: spec[side] for side in ("cell", "against") if side in spec}
    for side, cell in sides.items():
        known(f"{key}.{side}", cell, config["cells"], "cells")
    systems = [config["cells"][cell]["system"] for cell in sides.values()]
    if len(set(systems)) > 1:
        raise ConfigError(
            f"{key} holds {systems[0]} against {systems[1]}; compare cells of one system"
        )
    cells = {side: _seeds(cell, spec["beta"], key, config) for side, cell in sides.items()}
    if "against" in cells:
        return Comparison(**cells)
    if config["cells"][spec["cell"]]["symmetry"] == "none":
        raise ConfigError(
            f"{key} lacks 'against', and cell {spec['cell']} is not averaged over a symmetry, so"
            " there is nothing to hold it against; add it"
        )
    return Comparison(cells["cell"], [])


def _seeds(name: str, beta: Any, key: str, config: Mapping[str, Any]) -> list[Cell]:
    """The cell at this beta, with each of its seeds."""
    one = {"cell": name, "beta": beta}
    return [one_cell(key, one | {"seed": seed}, config) for seed in config["cells"][name]["seeds"]]


def one_cell(key: str, spec: Mapping[str, Any], config: Mapping[str, Any]) -> Cell:
    """The cell that ``spec`` names, at its beta, with its seed or the first.

    Raises:
        ConfigError: there is none; ``key`` is where it was asked for.
    """
    known(f"{key}.cell", spec["cell"], config["cells"], "cells")
    cell = config["cells"][spec["cell"]]
    if "beta" not in spec:
        raise ConfigError(f"{key} lacks 'beta'; add it")
    beta = canonical_beta(spec["beta"], f"{key}.beta")
    known(f"{key}.beta", beta, betas(cell["beta"], ""), f"cells.{spec['cell']}.beta")
    seed = spec.get("seed", cell["seeds"][0])
    known(f"{key}.seed", seed, cell["seeds"], f"cells.{spec['cell']}.seeds")
    return Cell(spec["cell"], beta, seed)
