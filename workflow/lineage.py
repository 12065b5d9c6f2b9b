"""Cells that learn from other cells: a teacher's samples, or another's parameters to start from."""

from collections.abc import Mapping
from typing import Any

import declared
import settings
from schema import ConfigError
from settings import Cell

SOURCES = ("teacher", "start")


def check(config: Mapping[str, Any]) -> None:
    """Refuse teachers and starts that cannot be, in a configuration that is fine otherwise.

    Raises:
        ConfigError: an unknown cell, one of another kind, a circle, or one that knows the
            reference where the claim is to know the Hamiltonian only.
    """
    for name, spec in config["cells"].items():
        for key in filter(spec.get, SOURCES):
            _check_source(name, key, config)


def sources(name: str, beta: str, config: Mapping[str, Any]) -> dict[str, Cell]:
    """Under `teacher` and `start`, the trained cells that this one begins with."""
    spec = config["cells"][name]
    return {key: _source(name, key, beta, config) for key in filter(spec.get, SOURCES)}


def claim(name: str, beta: str, config: Mapping[str, Any]) -> str:
    """The objective of a cell and whom it follows: `reverse, after convex`."""
    words = {"teacher": "after", "start": "from"}
    text = config["cells"][name]["objective"]
    for key, source in sources(name, beta, config).items():
        text += f", {words[key]} {source.name}"
        text += f" at beta {source.beta}" * (source.beta != beta)
    return text


def _check_source(name: str, key: str, config: Mapping[str, Any]) -> None:
    cell = config["cells"][name]
    if "family" in cell:
        raise ConfigError(f"cells.{name} is a family and has a {key}; leave one of them out")
    where, other = f"cells.{name}.{key}.cell", cell[key]["cell"]
    for beta in settings.betas(cell["beta"], f"cells.{name}.beta"):
        _source(name, key, beta, config)
    _refuse_circle(name, key, config)
    if key == "teacher" and cell["objective"] != "reverse":
        raise ConfigError(
            f"cells.{name}.objective is {cell['objective']!r}, but its samples are those of a"
            " teacher; write 'reverse', or leave the teacher out"
        )
    flow = config["architectures"][cell["architecture"]]["flow"]
    if key == "teacher" and not declared.architecture(flow).exact_log_prob:
        raise ConfigError(
            f"cells.{name} has a teacher, but a likelihood needs an exact log_prob, which a flow"
            f" {flow!r} lacks; choose from {', '.join(settings.exact_log_prob())}"
        )
    if sentence := _unlike(cell, config["cells"][other], key, config):
        raise ConfigError(f"{where} is {other!r}, {sentence}")
    if cell["objective"] == "reverse" and (knowing := _who_knows_the_reference(other, config)):
        raise ConfigError(
            f"cells.{name}.objective is 'reverse', but {key} {other!r} goes back to"
            f" {knowing!r}, which learned from the reference; choose a {key} that did not"
        )


def _source(name: str, key: str, beta: str, config: Mapping[str, Any]) -> Cell:
    where = f"cells.{name}.{key}"
    return settings.one_cell(where, {"beta": beta} | config["cells"][name][key], config)


def _refuse_circle(name: str, key: str, config: Mapping[str, Any]) -> None:
    if name in _ancestors(config["cells"][name][key]["cell"], config):
        raise ConfigError(
            f"cells.{name}.{key}.cell is {config['cells'][name][key]['cell']!r}, which goes back to"
            f" {name!r} itself; let one of them begin alone"
        )


def _ancestors(name: str, config: Mapping[str, Any]) -> list[str]:
    """A cell, and all those before it; names that are not there are left to their own check."""
    found, new = [], [name]
    while new:
        found += new
        specs = [config["cells"].get(one, {}) for one in new]
        before = [spec[key]["cell"] for spec in specs for key in filter(spec.get, SOURCES)]
        new = [one for one in dict.fromkeys(before) if one not in found]
    return found


def _who_knows_the_reference(name: str, config: Mapping[str, Any]) -> str:
    """The first of a cell and those before it that was trained on samples; empty if none was."""
    cells = config["cells"]
    known = [one for one in _ancestors(name, config) if one in cells]
    return next((one for one in known if cells[one]["objective"] != "reverse"), "")


def _unlike(
    cell: Mapping[str, Any], other: Mapping[str, Any], key: str, config: Mapping[str, Any]
) -> str:
    """In what the other differs so that it is of no use; empty if it is."""
    systems, architectures = config["systems"], config["architectures"]
    mine, its = systems[cell["system"]], systems[other["system"]]
    if key == "teacher":
        if mine != its:
            return f"of system {other['system']}; a teacher is of the same, {cell['system']}"
        return ""
    if mine["n"] != its["n"]:
        return f"of {its['n']} electrons; start from a cell of {mine['n']}"
    if "family" in other:
        return "a family; start from a cell of one beta"
    if architectures[cell["architecture"]] != architectures[other["architecture"]]:
        return f"of architecture {other['architecture']}; start from one of {cell['architecture']}"
    return ""
