"""An architecture, a trap and a figure, one new file each, in a clone without other changes."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from PIL import Image

IMPOSSIBLE = '''
def impossible(n, options):
    """Plain Python only."""
    return f"spread is {options['spread']}; take less than {9 * n}" * (options["spread"] > 9 * n)


build'''
# The very files that the page shows.
FLOW, TRAP, FIGURE = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S
)
FILES = {
    "qdflow/flows/affine.py": FLOW.replace("\nbuild", IMPOSSIBLE),
    "qdflow/traps/elliptic.py": TRAP,
    "workflow/scripts/figure_steps.py": FIGURE,
}
CONFIG = {
    "results": "results/own",
    "systems": {"oval": {"n": 2, "trap": "elliptic"}},
    "architectures": {"affine": {"flow": "affine", "spread": 0.5}},
    "trainings": {"short": {"phases": [{"steps": 20, "batch": 32, "learning_rate": 0.01}]}},
    "cells": {
        "one": {
            "system": "oval",
            "architecture": "affine",
            "beta": 2,
            "training": "short",
            "symmetry": "c2v",
        }
    },
    "figures": {
        "steps": {"kind": "steps", "colour": "black", "flows": [{"cell": "one", "beta": 2}]}
    },
}


def add_to(clone):
    for name, text in FILES.items():
        (clone / name).write_text(text)


@pytest.fixture(scope="module")
def clone(source, tmp_path_factory):
    """In a folder with a space and a quote in its path, and with a Python in there."""
    folder = tmp_path_factory.mktemp("added") / "one's own" / "qdflow"
    shutil.copytree(source, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    add_to(folder)
    return folder


def ran(clone, *command):
    environment = os.environ | {"PYTHONPATH": str(clone)}
    run = subprocess.run(
        [clone / ".venv/bin/python", "-m", *command],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout + run.stderr


def snakemake(clone, config, *arguments):
    (clone / "own.yaml").write_text(yaml.safe_dump(config))
    return ran(clone, "snakemake", *arguments, "--cores", "1", "--configfile", "own.yaml")


def test_the_rules_draw_a_new_figure_of_a_new_flow_in_a_new_trap(clone):
    status, text = snakemake(clone, CONFIG, "results/own/figures/steps.png")
    assert status == 0, text
    assert re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", text, re.M) == ["train", "figure"]
    with Image.open(clone / "results/own/figures/steps.png") as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("L").getcolors()) > 10
    status, text = snakemake(clone, CONFIG, "--dry-run")
    assert status == 0, text
    assert text.count("rule reference:") == text.count("rule anneal:") + 1 == 1
    assert "rule train:" not in text


CONTRACT = (
    "affine and not elliptic or elliptic and test_traps and not monte or documented or schema"
)


def test_the_contracts_find_them(clone):
    tests = [f"tests/test_{name}.py" for name in ("flows", "traps", "settings")]
    status, text = ran(clone, "pytest", "-q", "-p", "no:cacheprovider", "-k", CONTRACT, *tests)
    assert status == 0, text
    assert int(re.search(r"(\d+) passed", text)[1]) >= 25


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("architectures.affine", {"spred": 1}, "unknown key 'spred' (did you mean 'spread'?)"),
        ("architectures.affine", {"spread": 0}, "affine.spread is 0; it must be above 0"),
        ("architectures.affine", {"spread": 19}, "affine.spread is 19; take less than 18 (cell on"),
        ("systems.oval", {"trap": "eliptic"}, "(did you mean 'elliptic'?)"),
        ("figures.steps", {"kind": "step"}, "(did you mean 'steps'?)"),
        ("figures.steps", {"colour": 1}, "figures.steps.colour is 1; it must be of type string"),
        ("figures.steps", {"kind": "density"}, "has colour, which only the kind steps draws"),
        ("figures.steps", {"flows": []}, "holds 0 flows; kind steps shows at least 1"),
        ("cells.one", {"anneal": {}}, "cells.one.anneal is given, but a flow 'affine' is labelled"),
    ],
)
def test_what_they_declare_is_held_to(clone, section, change, sentence):
    """In a Python of its own, as the plan that is loaded here is that of the repository."""
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    first, second = section.split(".")
    config[first][second] |= change
    (clone / "bad.yaml").write_text(yaml.safe_dump(config))
    assert sentence in refused(clone)


REFUSE = """
import sys, yaml
sys.path[:0] = [".", "workflow"]
import declared, schema, settings
config = yaml.safe_load(open("bad.yaml"))
try:
    schema.check(config)
    schema.complete(config)
    settings.matrix(config)
except (schema.ConfigError, declared.DeclarationError) as error:
    print(error)
"""


def refused(clone):
    run = subprocess.run(
        [sys.executable, "-c", REFUSE], cwd=clone, capture_output=True, text=True, check=True
    )
    (line,) = run.stdout.splitlines()
    return line


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("qdflow/flows/affine.py", "spread: of the places", "more: of", "of the option 'spread';"),
        (
            "qdflow/flows/affine.py",
            "spread: Positive",
            "spread: Nice",
            "give it a type that qdflow",
        ),
        (
            "qdflow/flows/affine.py",
            "Positive = 1.0",
            "Positive",
            "an option has no default; give",
        ),
        ("qdflow/flows/affine.py", "build = Affine", "", "has no build = the name of a class"),
        ("qdflow/flows/affine.py", "class Affine", "class", "cannot be read (invalid syntax"),
        ("qdflow/flows/affine.py", "* n}", "* nn}", "impossible() failed for 2 electrons"),
        (
            "qdflow/traps/elliptic.py",
            "trap = Trap(",
            "Trap(",
            "no trap = Trap(...), as it",
        ),
        ("workflow/scripts/figure_steps.py", "FIGURE =", "FIG =", "has no FIGURE = a dictionary"),
        (
            "workflow/scripts/figure_steps.py",
            "/history",
            "/story",
            "no table 'training/story'; cho",
        ),
        ("workflow/scripts/figure_steps.py", '"flows"', '"flow"', "FIGURE cannot be read ("),
        ("workflow/scripts/figure_steps.py", "(1, 2)", "(3, 2)", "give the least and the most"),
    ],
)
def test_a_file_that_does_not_declare_itself_is_named(clone, name, old, new, sentence):
    text = (clone / name).read_text()
    assert old in text
    (clone / "bad.yaml").write_text(yaml.safe_dump(CONFIG))
    (clone / name).write_text(text.replace(old, new, 1))
    try:
        found = refused(clone)
    finally:
        (clone / name).write_text(text)
    assert name in found
    assert sentence in found


def test_a_symmetry_that_the_trap_lacks_is_refused(clone):
    turned = CONFIG["cells"]["one"] | {"symmetry": "c4"}
    (clone / "bad.yaml").write_text(yaml.safe_dump(CONFIG | {"cells": {"one": turned}}))
    assert "the trap 'elliptic' are those of 'c2v'; take that group or a part" in refused(clone)
