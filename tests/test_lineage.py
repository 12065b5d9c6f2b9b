import copy

import lineage
import pytest
import schema
import settings
import yaml
from conftest import ROOT

TAUGHT = {"system": "dot-3", "architecture": "ordered", "beta": 10, "training": "taught"}
CELLS = {
    "taught": TAUGHT | {"teacher": {"cell": "permutation"}},
    "colder": TAUGHT | {"training": "short", "start": {"cell": "taught"}},
}


@pytest.fixture
def config():
    """The smoke configuration with a teacher, its pupil, and one who goes on from there."""
    content = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    content["cells"] |= copy.deepcopy(CELLS)
    return content


def planned(config):
    schema.check(config)
    schema.complete(config)
    settings.matrix(config)
    lineage.check(config)
    return config


def test_a_claim_names_who_came_before(config):
    config["cells"]["permutation"]["beta"] = [10, 2]
    config["cells"]["taught"]["teacher"]["beta"] = "2.0"
    planned(config)
    assert lineage.claim("permutation", "10", config) == "reverse"
    assert lineage.claim("taught", "10", config) == "reverse, after permutation at beta 2"
    assert lineage.claim("colder", "10", config) == "reverse, from taught"
    assert lineage.sources("taught", "10", config)["teacher"] == ("permutation", "2", 0)


def test_a_teacher_gives_samples_and_phases_weights(config):
    assert planned(config)["cells"]["taught"]["teacher"]["samples"] == 20_000
    assert [p["forward"] for p in settings.phases("taught", config)] == [1, 0]
    assert [p["forward"] for p in settings.phases("colder", config)] == [0]


@pytest.mark.parametrize(
    ("cell", "change", "sentence"),
    [
        ("taught", {"teacher": "permutation"}, "teacher is 'permutation'; it must be of type obj"),
        ("taught", {"teacher": {"beta": 10}}, "cells.taught.teacher lacks 'cell'; add it"),
        ("taught", {"teacher": {"cell": "permtation"}}, "(did you mean 'permutation'?)"),
        ("taught", {"beta": 3}, "cells.taught.teacher.beta is '3', which is not in cells.permuta"),
        (
            "taught",
            {"teacher": {"cell": "permutation", "seed": 1}},
            "cells.taught.teacher.seed is 1, which is not in cells.permutation.seeds",
        ),
        (
            "taught",
            {"teacher": {"cell": "c4-afterwards", "beta": 2}},
            "teacher.cell is 'c4-afterwards', of system quartic-2; a teacher is of the same, dot-3",
        ),
        (
            "taught",
            {"teacher": {"cell": "ordered"}},
            "objective is 'reverse', but teacher 'ordered' goes back to 'ordered', which learned",
        ),
        (
            "taught",
            {"objective": "mixed", "training": "mixed"},
            "but its samples are those of a teacher; write 'revers",
        ),
        ("taught", {"teacher": {"cell": "colder"}}, "'colder', which goes back to 'taught' itself"),
        ("taught", {"teacher": {"cell": "taught"}}, "'taught', which goes back to 'taught' itself"),
        ("taught", {"training": "short"}, "no phase of trainings.short.phases learns from the te"),
        ("taught", {"training": "mixed"}, "the last of trainings.mixed.phases has the weight forw"),
        (
            "taught",
            {"architecture": "mlp-8-8"},
            "cells.taught has a teacher, but a likelihood needs an exact log_prob, which a flow",
        ),
        (
            "colder",
            {"start": {"cell": "permutation"}},
            "start.cell is 'permutation', of architecture permutation; start from one of ordered",
        ),
        (
            "colder",
            {"system": "quartic-2"},
            "cells.colder.start.cell is 'taught', of 3 electrons; start from a cell of 2",
        ),
        (
            "colder",
            {"start": {"cell": "ordered"}},
            "objective is 'reverse', but start 'ordered' goes back to 'ordered', which learned",
        ),
    ],
)
def test_refusals_are_one_sentence(config, cell, change, sentence):
    config["cells"][cell] |= change
    config["figures"] = {}  # which show cells as they are
    with pytest.raises(schema.ConfigError) as caught:
        planned(config)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_grandparent_learned_is_known(config):
    config["cells"]["taught"] |= {"objective": "forward", "training": "short"}
    del config["cells"]["taught"]["teacher"]
    with pytest.raises(schema.ConfigError, match="start 'taught' goes back to 'taught', which"):
        planned(config)
    config["cells"]["colder"]["objective"] = "forward"  # then it claims no more than it may
    planned(config)
