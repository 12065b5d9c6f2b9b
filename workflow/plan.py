"""Where results lie, and the plan of a run for those who want to watch it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import declared
import settings
from schema import ConfigError, known
from settings import Cell, Matrix

from qdflow.files import atomic
from qdflow.watching import PLAN

SECTIONS = {"reference": "systems", "flows": "cells", "figures": "figures"}  # of the results
# Below the folder of the results.
REFERENCE = "reference/{system}/beta{beta}"
FLOW = "flows/{cell}/beta{beta}/seed{seed}"
TRAINED = "flows/{cell}/{at}/seed{seed}"  # at: betaBETA, or family for them all


def refuse_words(words: Iterable[str], folder: str, config: Mapping[str, Any]) -> None:
    """Refuse words of a command line that name results of what the configuration lacks.

    Raises:
        ConfigError: the first of them, with the names that there are.
    """
    for target in words:
        kind, _, rest = target.removeprefix(f"{folder}/").partition("/")
        if not target.startswith(f"{folder}/") or kind not in SECTIONS:
            continue
        name, section = rest.split("/")[0], SECTIONS[kind]
        if kind == "figures":
            name = _figure(rest, config)
            if not name:
                raise ConfigError(f"{target} is no figure; ask for NAME.pdf or NAME.png")
        known(f"what {target} belongs to", name, config[section], section)


def _figure(rest: str, config: Mapping[str, Any]) -> str:
    """The figure that a file below figures/ belongs to; empty if no rule makes such a file."""
    folder, _, file = rest.rpartition("/")
    name, _, end = file.rpartition(".")
    made = {"": ["pdf", "png"], "column": ["pdf"], "captions": ["rst"]}.get(folder, [])
    kind = config["figures"].get(name, {}).get("kind")
    if not folder and kind and "flow/frames" in declared.figure(kind).inputs.values():
        made = [*made, "gif", "html"]  # of its film
    return name if end in made else ""


def write(matrix: Matrix, config: Mapping[str, Any], folder: Path) -> None:
    """Leave the plan of a run in the folder of its results."""
    with atomic(folder / PLAN) as temporary:
        temporary.write_text(json.dumps(plan(matrix, config)), encoding="utf-8")


def plan(matrix: Matrix, config: Mapping[str, Any]) -> dict[str, Any]:
    """All references and cells: their tables, and the log and outputs of each step to them."""
    references = [_reference(system, beta) for system, beta in matrix.references]
    return {
        "references": references,
        "cells": [
            _cell(cell, settings.looks(cell, matrix, config), config) for cell in matrix.cells
        ],
    }


def _reference(system: str, beta: str) -> dict[str, Any]:
    table = f"{REFERENCE.format(system=system, beta=beta)}/estimates.parquet"
    step = {"log": f"logs/{REFERENCE.format(system=system, beta=beta)}.log", "outputs": [table]}
    return {"system": system, "beta": beta, "tables": [table], "steps": {"reference": step}}


def _cell(cell: Cell, looks: list[str], config: Mapping[str, Any]) -> dict[str, Any]:
    spec = config["cells"][cell.name]
    at = "family" if "family" in spec else f"beta{cell.beta}"
    trained = TRAINED.format(cell=cell.name, at=at, seed=cell.seed)
    flow = FLOW.format(cell=cell.name, beta=cell.beta, seed=cell.seed)
    tables = {"estimate": f"{flow}/estimates.parquet"}
    tables |= {look: f"{flow}/{look}.parquet" for look in looks}
    place = f"{cell.name}/beta{cell.beta}/seed{cell.seed}.log"
    training = f"logs/train/{cell.name}/{at}/seed{cell.seed}.log"
    steps = {"train": {"log": training, "outputs": [f"{trained}/model.pt"]}}
    steps |= {rule: {"log": f"logs/{rule}/{place}", "outputs": [t]} for rule, t in tables.items()}
    return {
        "cell": cell.name,
        "beta": cell.beta,
        "seed": cell.seed,
        "system": spec["system"],
        "tables": list(tables.values()),
        "steps": steps,
    }
