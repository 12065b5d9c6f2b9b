"""One set of pins: pyproject.toml, requirements.txt, the conda environment, what is installed."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, version

import pytest
import yaml
from conftest import ROOT

from qdflow import provenance

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(lines):
    exact = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?==([A-Za-z0-9_.]+)$")
    found = [exact.match(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found) if not match]
    return {m[1].lower().replace("_", "-"): m[2] for m in found}


def locked(name):
    return pins([x for x in (ROOT / name).read_text().split("\n") if x and x[0] != "#"])


LOCKED = locked("requirements.txt")
DECLARED = PROJECT["dependencies"] + EXTRAS["workflow"] + EXTRAS["dev"]


def test_requirements_hold_every_declared_pin():
    assert pins(DECLARED).items() <= LOCKED.items()


def test_the_site_has_its_own_pins():
    assert pins(EXTRAS["docs"]).items() <= locked("envs/site.txt").items()
    assert not pins(EXTRAS["docs"]).keys() & LOCKED.keys()
    assert locked("envs/site.txt")["ruff"] == LOCKED["ruff"]


def test_benchmarks_add_to_these_pins_and_change_none():
    lines = (ROOT / "benchmarks/requirements.txt").read_text().splitlines()
    added = pins([line for line in lines if line[:1] != "#"])
    assert {"jax", "jaxlib", "optax", "blackjax", "emcee", "normflows"} <= set(added)
    assert {name: LOCKED[name] for name in added if name in LOCKED}.items() <= added.items()


def in_conda(name):
    """What an environment of envs/ takes from PyPI."""
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())
    (python,) = [d for d in environment["dependencies"] if str(d).startswith("python=")]
    assert tuple(map(int, python.split("=")[1].split("."))) >= (3, 11)
    (by_pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    return pins(by_pip)


def imported(script):
    """The packages that a script imports at its top or later, itself or through the library."""
    files = provenance.closure(ROOT / f"workflow/scripts/{script}.py")
    lines = "\n".join(path.read_text() for path in files)
    names = set(re.findall(r"^ *(?:import|from) (\w+)", lines, re.M))
    beside = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    names = {"pillow" if name == "PIL" else name for name in names}
    return names - set(sys.stdlib_module_names) - {"qdflow"} - beside


RULES = re.findall(
    r"^rule (?!all)(\w+):.*?envs/(\w+)\.yaml.*?scripts/(\w+)\.py",
    (ROOT / "Snakefile").read_text(),
    re.M | re.S,
)


def test_conda_environments_have_the_same_pins():
    ours = pins(DECLARED)
    assert in_conda("flows") == pins(PROJECT["dependencies"]) | {"snakemake": ours["snakemake"]}
    assert in_conda("figures").items() <= in_conda("flows").items()
    for name in ("flows", "figures"):
        deploy = ROOT / f"envs/{name}.post-deploy.sh"
        assert "pip install --no-deps --editable ." in deploy.read_text()


@pytest.mark.parametrize(("rule", "environment", "script"), RULES, ids=[r for r, *_ in RULES])
def test_each_job_finds_what_it_imports_in_its_conda_environment(rule, environment, script):
    assert script == rule
    scripts = [p.stem for p in (ROOT / "workflow/scripts").glob(f"{script}*.py")]
    there = {name.replace("-", "_") for name in in_conda(environment)}
    assert scripts
    for name in scripts:
        assert imported(name) <= there, name


def test_what_is_installed_is_what_is_pinned():
    installed = {name: version(name).split("+")[0] for name in LOCKED}
    assert installed == LOCKED


@pytest.mark.skipif("CI" not in os.environ, reason="you may install what you like in your own")
def test_nothing_else_is_installed():
    ours = {"pip", "setuptools", "qdflow"}
    accelerators = re.compile(r"nvidia|triton|cuda")  # torch's own, where it has them
    present = {d.metadata["Name"].lower().replace("_", "-") for d in distributions()}
    assert {p for p in present - ours if not accelerators.match(p)} <= set(LOCKED)


def test_every_dependency_is_imported():
    sources = "\n".join(
        p.read_text() for d in ("qdflow", "workflow") for p in (ROOT / d).rglob("*.py")
    )
    for name in pins(PROJECT["dependencies"] + ["jsonschema==0", "pillow==0", "PyYAML==0"]):
        module = {"arviz-stats": "arviz_stats", "pyyaml": "yaml", "pillow": "PIL"}.get(name, name)
        assert re.search(rf"^ *(import|from) {module}\b", sources, re.M), name


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == version("qdflow")
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_clone_called_qdflow_does_not_hide_the_package(tmp_path):
    """Python started in the folder above a clone, in which `qdflow` is a folder without code."""
    (tmp_path / "qdflow").mkdir()
    ask = [sys.executable, "-c", "import qdflow; print(qdflow.__file__)"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(ask, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == str(ROOT / "qdflow/__init__.py"), run.stderr


def test_the_library_knows_no_workflow():
    for path in (ROOT / "qdflow").rglob("*.py"):
        assert "snakemake" not in path.read_text().lower(), path


PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_show_pictures_that_are_there_and_tables_that_are_filled(page):
    text = page.read_text()
    for picture in re.findall(r"\]\(([^)#:]+\.png)\)", text):
        assert (page.parent / picture).is_file(), picture
    marked = re.findall(
        r"<!-- (?:results|comparisons): .*? -->\n(.*?)<!-- end of results -->", text, re.S
    )
    assert len(marked) == text.count("<!-- end of results -->")
    assert all(table.count("\n") >= 3 for table in marked)
    timed = re.findall(r"<!-- benchmarks: \w+ -->\n(.*?)<!-- end of benchmarks -->", text, re.S)
    assert len(timed) == text.count("<!-- end of benchmarks -->")
    values = re.findall(r"<!-- value: \S+ \S+ -->(.*?)<!-- end -->", text)
    assert len(values) == text.count("<!-- end -->")
    assert all(values)


def test_the_readme_has_a_table_and_a_picture():
    text = (ROOT / "README.md").read_text()
    assert "<!-- results: " in text
    assert "![" in text


def test_the_slides_leave_out_no_cell_and_no_figure():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    page = (ROOT / "docs/slides.md").read_text()
    for cell, spec in config["cells"].items():
        assert f"`{cell}`" in page, cell
        for beta in spec["beta"] if isinstance(spec["beta"], list) else [spec["beta"]]:
            name = f"{cell}@{beta}" if isinstance(spec["beta"], list) else cell
            for quantity in ("F", "exact", "verdict", "minority_sign"):
                assert f"<!-- value: {name} {quantity} -->" in page, name
    for figure in config["figures"]:
        assert f"](gallery/{figure}.png)" in page or f"`{figure}`" in page, figure
    for comparison in config["comparisons"]:
        assert re.search(rf"<!-- comparisons: .*\b{comparison}\b.* -->", page), comparison
