"""What Snakemake's template and its catalog ask of a workflow."""

import re

import pytest
import yaml
from conftest import ROOT

from qdflow.flows import NAMES

TEXT = (ROOT / "Snakefile").read_text()
RULES = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", TEXT, re.M | re.S))
JOBS = [name for name in RULES if name != "all"]


def test_all_rules_were_found():
    assert len(RULES) == TEXT.count("\nrule ") >= 10


@pytest.mark.parametrize("name", JOBS)
def test_a_rule_has_a_log_resources_an_environment_and_a_script_of_its_own(name):
    found = re.findall(r"^    (\w+):", RULES[name], re.M)
    assert {"output", "log", "conda", "resources", "params", "script"} <= set(found)
    assert "**needs.resources(" in RULES[name]
    (log,) = re.findall(r'log:\n        f"{RESULTS}/logs/(.*)\.log"', RULES[name])
    assert log.split("/")[0] == name
    if "envs/flows.yaml" in RULES[name] and name != "compare":  # what computes
        assert f'benchmark:\n        f"{{RESULTS}}/benchmarks/{log}.tsv"' in RULES[name]


def test_the_page_on_the_design_has_every_module():
    page = (ROOT / "docs/design.md").read_text()
    folders = ("qdflow", "qdflow/flows", "workflow")
    files = [file for folder in folders for file in (ROOT / folder).glob("*.py")]
    kinds = {f"{name}.py" for name in NAMES}  # one file each, as the folder's row says
    assert len(files) > 60
    expected = {f.name for f in files} - kinds - {"__init__.py"}
    assert {name for name in expected if name in page} == expected


def test_the_catalog_is_told_how_to_use_it():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["software-stack-deployment"]) == {
        "conda",
        "singularity",
        "singularity+conda",
    }
    assert not usage["mandatory-flags"]["flags"]
    for name in ("config/README.md", "config/config.yaml", "LICENSE", "profiles/default"):
        assert (ROOT / name).exists()
