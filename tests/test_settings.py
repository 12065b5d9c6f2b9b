import copy
import re
from contextlib import nullcontext
from inspect import signature
from typing import get_args

import declared
import pytest
import schema
import settings
import torch
import yaml
from conftest import ROOT

from qdflow import flows
from qdflow.bases import BASES
from qdflow.family import Family
from qdflow.flows import NAMES
from qdflow.flows._dense import ACTIVATIONS
from qdflow.flows._options import Activation, BaseName, OddActivation
from qdflow.groups import log_order
from qdflow.symmetry import GROUPS
from qdflow.system import TRAPS, System

PHASE = {"steps": 9, "batch": 9, "learning_rate": 0.1}
SCHEMA = schema.composed()


def load(name):
    return yaml.safe_load((ROOT / "config" / name).read_text())


@pytest.fixture
def config():
    return load("smoke.yaml")


def completed(config):
    """With the defaults."""
    schema.complete(config)
    return config


def test_a_reference_may_have_an_error_of_its_own(config):
    config["references"] = [
        {"system": "dot-3", "beta": [10, "1.5"], "stderr_F": 0.1},
        {"system": "dot-3", "beta": 1.5, "stderr_F": 0.2},
        {"system": "dot-2", "beta": 2},
    ]
    schema.check(config)
    completed(config)
    common = config["reference"]
    for system, beta, stderr in (("dot-3", "10", 0.1), ("dot-3", "1.5", 0.1)):
        assert settings.reference_budget(system, beta, config) == common | {"stderr_F": stderr}
    for system, beta in (("dot-3", "2"), ("dot-2", "2"), ("dot-2", "10")):
        assert settings.reference_budget(system, beta, config) == common


@pytest.mark.parametrize("name", ["config.yaml", "smoke.yaml", "best.yaml", "scale.yaml"])
def test_the_configurations_are_valid(name):
    config = load(name)
    schema.check(config)
    matrix = settings.matrix(completed(config))
    assert len(matrix.cells) >= 3
    assert set(matrix.figures) == set(config["figures"])


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("systems.dot-3.n", 0, "systems.dot-3.n is 0; it must be at least 1"),
        ("systems.dot-3.n", -2, "systems.dot-3.n is -2; it must be at least 1"),
        ("systems.dot-3.n", 3.0, "n is 3.0; it must be of type integer; write 3"),
        ("systems.dot-3.n", True, "n is True; it must be of type integer"),
        ("systems.dot-3.n", "1e1", "n is '1e1'; it must be of type integer; write 10"),
        ("cells.talk-hot.seeds", [0.0], "seeds[0] is 0.0; it must be of type integer; write 0"),
        ("cells.talk-hot.seeds", [10**30], "must be at most 9223372036854775807"),
        ("cells.talk-hot.beta", 10**400, "it must be a finite number"),
        ("cells.talk-hot.beta", "1e400", "an inverse temperature is a number above 0"),
        ("reference.max_draws", 100, "reference.max_draws is 100, below reference.draws, which"),
        ("results", "a{b}", "results is 'a{b}', no path to use"),
        ("results", "/", "results is '/', no path to use"),
        ("systems.dot-3.n", 2.5, "n is 2.5; it must be of type integer"),
        ("systems.dot-3.n", "20", "is '20'; it must be of type integer; write 20"),
        (
            "systems.dot-3.trap",
            "harmonc",
            "choose from harmonic, quartic (did you mean 'harmonic'?)",
        ),
        ("systems.dot-3.traps", "x", "the unknown key 'traps' (did you mean 'trap'?)"),
        (
            "systemz",
            {},
            "the configuration has the unknown key 'systemz' (did you mean 'systems'?)",
        ),
        ("systems.a/b", {"n": 2}, "systems is 'a/b', no path to use"),
        ("systems", {}, "systems is empty"),
        (
            "cells.talk-hot.system",
            "dot-4",
            "is 'dot-4', which is not in systems; choose from dot-3",
        ),
        ("cells.talk-hot.architecture", "mlp", "is 'mlp', which is not in architectures"),
        ("cells.talk-hot.training", "warm", "is 'warm', which is not in trainings"),
        ("cells.talk-hot.beta", 0, "cells.talk-hot.beta is 0; an inverse temperature is"),
        ("cells.talk-hot.beta", [1.5, -1], "cells.talk-hot.beta is -1; an inverse temperature is"),
        ("cells.talk-hot.beta", "cold", "cells.talk-hot.beta is 'cold'; an inverse temperature"),
        ("cells.talk-hot.beta", float("inf"), "cells.talk-hot.beta is inf; it must be a finite"),
        ("cells.talk-hot.beta", True, "beta is True"),
        ("cells.talk-hot.beta", [1.5, "1.50"], "cells.talk-hot.beta holds 1.5 twice"),
        ("cells.talk-hot.beta", [], "cells.talk-hot.beta is empty; it needs at least 1 entry"),
        ("cells.talk-hot.seeds", [0, 0], "cells.talk-hot.seeds is [0, 0]; its entries must differ"),
        ("cells.talk-hot.seeds", [-1], "cells.talk-hot.seeds[0] is -1; it must be at least 0"),
        ("cells.talk-hot.objective", "forwards", "is 'forwards'; choose from reverse, forward, mi"),
        ("cells.talk-hot.objective", "forward", "but a likelihood needs an exact log_prob, which"),
        ("cells.c4-afterwards.objective", "mixed", "hot.phases[0] lacks the weight 'forward'; add"),
        (
            "trainings.mixed.phases",
            [PHASE | {"forward": 1}] * 2,
            "cells.ordered.objective is 'mixed', but all trainings.mixed.phases have the weight"
            " forward: 1; write 'forward'",
        ),
        ("cells.ordered.objective", "reverse", "trainings.mixed.phases[0] has a weight 'forward'"),
        ("trainings.hot.phases", [PHASE | {"forward": 2}], "forward is 2; it must be at most 1"),
        ("architectures.ordered.heads", 5, "heads is 5, no divisor of width, which is 16"),
        ("architectures.ordered.nodes", 8, "nodes is 8; take more than twice the 6 modes (cell"),
        ("architectures.mlp-8-8.hidden", [4, 8], "hidden is [4, 8], but for 3 electrons use"),
        ("architectures.mlp-8-8.hiden", [8], "the unknown key 'hiden' (did you mean 'hidden'?)"),
        ("architectures.mlp-8-8.flow", "mpl", "is 'mpl'; choose from autoregressive, convex, leap"),
        ("architectures.mlp-8-8.flow", "mpl", "transformer (did you mean 'mlp'?)"),
        ("architectures.rotation.hidden", [2], "hidden is [2], but for 3 electrons use widths of"),
        ("architectures.mlp-transformer.hidden", [5], "for 3 electrons use widths of at least 6"),
        ("architectures.mlp-transformer.heads", 3, "heads is 3, no divisor of width, which is 8"),
        ("architectures.permutation.channels", [1], "channels[0] is 1; it must be at least 2"),
        ("architectures.permutation.rotation", 1, "rotation is 1; it must be of type boolean"),
        (
            "architectures.permutation",
            {"flow": "permutation", "rotation": True, "activation": "softplus"},
            "activation is 'softplus'; with rotation use tanh or asinh (cell permutation)",
        ),
        (
            "architectures.permutation",
            {"flow": "permutation", "rotation": True, "channels": [3]},
            "channels is [3]; with rotation use even numbers (cell permutation)",
        ),
        ("architectures.rotation.activation", "softplus", "choose from tanh, asinh"),
        ("cells.talk-hot.symmetry", "c4", "but averaging needs an exact log_prob, which a flow"),
        ("cells.c4-afterwards.symmetry", "c5", "is 'c5'; choose from none, c2, c4, c4v"),
        ("cells.c4-afterwards.averaging", "later", "choose from afterwards, in_the_loss"),
        (
            "cells.c4-in-the-loss.symmetry",
            "none",
            "cells.c4-in-the-loss.averaging is 'in_the_loss',",
        ),
        ("comparisons.permutation.cell", "permtation", "(did you mean 'permutation'?)"),
        ("comparisons.permutation.against", "x", "comparisons.permutation.against is 'x', which"),
        ("comparisons.permutation.against", "c4-afterwards", "holds dot-3 against quartic-2"),
        ("comparisons.permutation.beta", 3, "comparisons.permutation.beta is '3', which is not in"),
        ("comparisons.new", {"cell": "permutation", "beta": 10}, "lacks 'against', and cell permu"),
        ("comparisons.permutation.symmetry", "s3", "is 's3'; choose from none, c2, c4, c4v, perm"),
        ("trainings.hot.phases", [], "trainings.hot.phases is empty"),
        ("trainings.hot.clip", 0, "trainings.hot.clip is 0; it must be above 0"),
        ("trainings.hot.precision", "float16", "is 'float16'; choose from float32, float64"),
        ("trainings.hot.clip", "1e2", "must be of type number; write 100.0, as YAML"),
        ("reference.stderr_F", float("nan"), "reference.stderr_F is nan; it must be a finite"),
        ("reference.ladders", 1, "reference.ladders is 1; it must be at least 2"),
        ("estimate.samples", 1, "estimate.samples is 1; it must be at least 100"),
        (
            "cells.family.beta",
            [1.5, 12],
            "cells.family.beta holds 12, outside of its family's 1 to 1",
        ),
        ("cells.family.family.low", 10, "cells.family.family is from 10 to 10, no range of beta;"),
        ("cells.family.family.low", 0, "cells.family.family.low is 0; it must be above 0"),
        ("cells.family.family.degree", 0, "cells.family.family.degree is 0; it must be at least 1"),
        (
            "cells.family.family.temperatures",
            3,
            "is 3, among which the batch of 128 of trainings.s",
        ),
        ("cells.family.family.temperatures", 128, "phases[0] cannot be split; take a multiple"),
        ("cells.family.family", {"low": 1}, "cells.family.family lacks 'high'; add it"),
        ("cells.family.objective", "forward", "objective is 'forward', which a family cannot have"),
        (
            "figures.thermodynamics.flows",
            [{"cell": "family", "beta": 4}],
            "figures.thermodynamics.flows[0].beta is 4, but all are shown; leave it out",
        ),
        (
            "figures.thermodynamics.flows",
            [{"cell": "family"}, {"cell": "c4-afterwards"}],
            "figures.thermodynamics.flows are of 2 systems, dot-3, quartic-2; show one at a time",
        ),
        (
            "figures.pairs.flows",
            [{"cell": "family", "beta": 4}],
            "figures.pairs needs the reference of dot-3 at beta 4, which a family does not bring",
        ),
        (
            "comparisons.new",
            {"cell": "family", "against": "family", "beta": 4},
            "comparisons.new needs the reference of dot-3 at beta 4, which a family does not bring",
        ),
        (
            "figures.final-result.flows",
            [{"cell": "family", "beta": 10}],
            "figures.final-result shows a training at one beta, and cells.family is a family;",
        ),
        ("figures.hot.flows", [{"cell": "talk-hot"}], "figures.hot.flows[0] lacks 'beta'; add it"),
        ("figures.hot.flows", [{"cell": "cold", "beta": 1}], "flows[0].cell is 'cold', which is"),
        ("figures.hot.flows", [{"cell": "talk-hot", "beta": 3}], "flows[0].beta is '3', which is"),
        (
            "figures.hot.flows",
            [{"cell": "talk-hot", "beta": 1.5, "seed": 7}],
            "figures.hot.flows[0].seed is 7, which is not in cells.talk-hot.seeds",
        ),
        ("figures.hot.flows", [], "figures.hot.flows holds 0 flows; kind density shows 1"),
        ("figures.pairs.flows", [], "figures.pairs.flows holds 0 flows; kind pairs shows at least"),
        (
            "figures.pairs.flows",
            [{"cell": "talk-hot", "beta": 1.5}, {"cell": "talk-cold", "beta": 10}],
            "are of 2 systems or betas, dot-3 at beta 1.5, dot-3 at beta 10; show one at a time",
        ),
        (
            "figures.c4.flows",
            [{"cell": "talk-hot", "beta": 1.5}],
            "figures.c4 shows what averaging does, but cells.talk-hot.symmetry is 'none'",
        ),
        (
            "systems.dot-3.n",
            1,
            "figures.pairs shows 2 electrons or more, but cells.mlp-transformer has 1;",
        ),
        (
            "cells.talk-cold.anneal",
            {},
            "cells.talk-cold.anneal is given, but a flow 'mlp' is labelled; choose from convex,",
        ),
        (
            "cells.family.anneal",
            {"chains": 40},
            "cells.family.anneal.chains is 40, below four for each of reference.ladders; take 48",
        ),
        ("figures.hot.marks", [], "figures.hot has marks, which only the kind bounds draws"),
        ("comparisons", {}, "figures.ledger draws the comparisons, and there are none; add some"),
        ("references", [{"system": "x", "beta": 1}], "references[0].system is 'x', which is not"),
        ("references", [{"system": "dot-3"}], "references[0] lacks 'beta'; add it"),
        ("results", "", "results is '', no path to use"),
    ],
)
def test_refusals_are_one_sentence(config, path, value, sentence):
    if path == "cells.family.anneal":
        config["reference"]["ladders"] = 12
    *parents, last = path.split(".") if path != "systems.a/b" else ["systems", "a/b"]
    table = config
    for name in parents:
        table = table[name]
    table[last] = value
    with pytest.raises(schema.ConfigError) as caught:
        schema.check(config)
        settings.matrix(completed(config))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_section_is_named(config):
    del config["cells"]
    with pytest.raises(schema.ConfigError, match="the configuration lacks 'cells'; add it"):
        schema.check(config)


def test_keys_that_yaml_takes_for_numbers(config):
    config["systems"][3] = {"n": 3}
    with pytest.raises(schema.ConfigError, match="systems has the key 3; put it in quotes"):
        schema.check(config)


def test_an_infinite_clip_switches_clipping_off(config):
    config["trainings"]["hot"]["clip"] = float("inf")
    schema.check(config)


def test_one_beta_has_one_spelling():
    for value in (1, 1.0, "1", "1.0", "1e0", "01.00"):
        assert settings.canonical_beta(value) == "1"
    assert settings.canonical_beta("1.50") == "1.5"
    assert settings.canonical_beta(0.1 + 0.2) == "0.3"
    assert settings.canonical_beta(10) == "10"


def test_spellings_of_beta_make_one_reference(config):
    config["cells"]["talk-hot"]["beta"] = "1.50e0"
    references = settings.matrix(completed(config)).references
    assert references.count(("dot-3", "1.5")) == 1


def test_seeds_belong_to_their_words():
    assert settings.seed_of("train", "a", "1", 0) == settings.seed_of("train", "a", "1", 0)
    others = [("train", "a", "1", 1), ("train", "a", "2", 0), ("estimate", "a", "1", 0)]
    seeds = {settings.seed_of(*words) for words in [("train", "a", "1", 0), *others]}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def _keys(schema, path=""):
    """Every key of the schema as it would be written, with its own part of the schema."""
    for name, inner in schema.get("properties", {}).items():
        if inner == {}:
            continue
        yield f"{path}{name}", inner
        yield from _keys(inner, f"{path}{name}.")
    for more in ("additionalProperties", "items"):
        if isinstance(inner := schema.get(more), dict):
            yield from _keys(inner, f"{path}{'NAME.' if more != 'items' else ''}")


def test_every_key_is_described_and_documented():
    """What files of their own bring along may be missing in the page, and nothing else."""
    keys = dict(_keys(SCHEMA))
    for flow in NAMES:
        keys |= {f"{flow}.{k}": s for k, s in _keys(SCHEMA["$defs"][flow])}
    text = (ROOT / "config/README.md").read_text()
    documented = set(re.findall(r"^\| `([^`]+)` \|", text, re.M))
    ours = set(dict(_keys(yaml.safe_load(schema.PATH.read_text()))))
    shown = re.findall(r"^### `flow: (\w+)`", text, re.M)
    assert len(shown) >= 8
    ours |= {key for key in keys if key.split(".")[0] in shown}
    assert ours <= documented <= set(keys)
    for key, inner in keys.items():
        target = SCHEMA["$defs"][inner["$ref"].split("/")[-1]] if "$ref" in inner else inner
        assert target.get("description"), key


GROWING = ("systems.NAME.trap", "architectures.NAME.flow", "figures.NAME.kind")  # with new files


def test_the_page_says_what_the_schema_says():
    """Meaning and default of every key; "empty" is a default without entries."""
    keys = dict(_keys(SCHEMA))
    for flow in NAMES:
        keys |= {f"{flow}.{k}": s for k, s in _keys(SCHEMA["$defs"][flow])}
    rows = re.findall(
        r"^\| `([^`]+)` \| .*? \| (.*?) \| (.*) \|$", (ROOT / "config/README.md").read_text(), re.M
    )
    assert len(rows) > 100
    for key, default, meaning in rows:
        inner = keys[key]
        inner = SCHEMA["$defs"][inner["$ref"].split("/")[-1]] if "$ref" in inner else inner
        if key not in GROWING:
            assert meaning == inner["description"], key
        if "default" in inner and inner["default"] not in ({}, []):
            assert yaml.safe_load(default.strip("`")) == inner["default"], key
        else:
            assert default in ("required", "", "empty"), key


def test_unknown_keys_are_refused_everywhere():
    def closed(schema):
        if "properties" in schema and "allOf" not in schema and "if" not in schema:
            assert schema.get("additionalProperties") is False, schema
        for value in schema.values():
            if isinstance(value, dict):
                for inner in [value, *value.values()]:
                    if isinstance(inner, dict) and "const" not in str(inner.get("properties", "")):
                        closed(inner)

    closed(copy.deepcopy(SCHEMA))


def test_the_schema_offers_what_the_code_has():
    properties = SCHEMA["properties"]
    architecture = properties["architectures"]["additionalProperties"]["properties"]
    trap = properties["systems"]["additionalProperties"]["properties"]["trap"]
    assert trap["enum"] == list(TRAPS)
    assert "quartic: V = x^4 + y^4 - x^2 y^2" in trap["description"]
    assert architecture["flow"]["enum"] == NAMES
    for hint, table in ((Activation, ACTIVATIONS), (BaseName, BASES)):
        assert get_args(hint) == tuple(table)
    a = torch.linspace(-3, 3, 7)
    odd = [name for name, (sigma, _) in ACTIVATIONS.items() if torch.equal(sigma(-a), -sigma(a))]
    assert odd == list(get_args(OddActivation))
    cell = properties["cells"]["additionalProperties"]["properties"]
    assert cell["symmetry"]["enum"] == ["none", *GROUPS]
    compared = properties["comparisons"]["additionalProperties"]["properties"]["symmetry"]["enum"]
    assert all(log_order(name, 3) > 0 for name in compared if name != "none")
    figures = properties["figures"]["additionalProperties"]["properties"]["kind"]["enum"]
    scripts = (ROOT / "workflow/scripts").glob("figure_*.py")
    assert sorted(figures) == sorted(p.stem.removeprefix("figure_") for p in scripts)


@pytest.mark.parametrize("flow", NAMES)
def test_what_the_plan_reads_of_a_flow_is_so(flow, generator):
    """Without torch the plan cannot ask the class; both have the same options and defaults."""
    read, built = declared.architecture(flow), flows.build(flow, System(2), generator)
    assert read.exact_log_prob == built.exact_log_prob
    assert read.is_map == built.reparametrised
    invertible = built.exact_inverse or built.exact_log_prob
    assert read.alike == (invertible and "permutation" in built.symmetry.split("+"))
    parameters = list(signature(flows.load(flow)).parameters.values())[2:]
    assert list(read.options) == [p.name for p in parameters]
    for p in parameters:
        default = list(p.default) if isinstance(p.default, tuple) else p.default
        assert read.options[p.name]["default"] == default, p.name


@pytest.mark.parametrize("flow", NAMES)
def test_what_the_plan_takes_for_impossible_the_library_refuses_too(flow, generator):
    """And widths that both allow make a flow."""
    options = {name: s["default"] for name, s in declared.architecture(flow).options.items()}
    for name in {"hidden", "heads", "nodes", "refresh"} & set(options):
        for value in range(3, 40, 4):
            given = {name: [value] if name == "hidden" else value}
            sentence = declared.architecture(flow).impossible(4, options | given)
            refused = pytest.raises(ValueError, match=re.escape(sentence) or None)
            with refused if sentence else nullcontext():
                flows.build(flow, System(4), generator, **given)


def test_the_schema_and_a_family_share_their_options_and_defaults():
    cell = SCHEMA["properties"]["cells"]["additionalProperties"]["properties"]
    offered = cell["family"]["properties"]
    parameters = list(signature(Family).parameters.values())[1:]
    assert list(offered) == [p.name for p in parameters]
    assert [s["default"] for s in list(offered.values())[2:]] == [p.default for p in parameters[2:]]


def test_a_family_brings_no_reference(config):
    for name in ("thermodynamics", "grid"):
        del config["figures"][name]
    config["references"] = []
    config["cells"]["family"]["beta"] = [1.5, 4]
    references = settings.matrix(completed(config)).references
    assert ("dot-3", "4") not in references
    assert ("dot-3", "1.5") in references  # as others ask for it


def test_the_schema_and_the_code_share_their_defaults():
    from qdflow.reference import Budget

    defaults = {k: s["default"] for k, s in SCHEMA["properties"]["reference"]["properties"].items()}
    assert defaults == Budget()._asdict() | {"seed": 0}
