"""What a user may get wrong, in a table: each ends in a sentence with what, its value, the remedy.

Where the same code runs, it runs in here; the last tests are whole commands.
"""

import os
import subprocess
import sys

import cluster
import given
import lineage
import needs
import pandas as pd
import plan
import pytest
import schema
import settings
import torch
import yaml
from click.testing import CliRunner
from conftest import ROOT
from test_cli import results  # noqa: F401

from qdflow import flows, free_energy, tables
from qdflow.bases import build
from qdflow.cli import main
from qdflow.estimate import estimate
from qdflow.family import Family
from qdflow.reference import Budget, reference
from qdflow.symmetry import Averaged
from qdflow.system import System
from qdflow.train import Phase, train

SMOKE = (ROOT / "config/smoke.yaml").read_text()
FILES = {  # content of a file of configuration: what is said of it
    "encoding": (
        b"systems:\n  caf\xe9: { n: 2 }\n",
        "is not UTF-8, with the byte 0xe9 in line 2; sa",
    ),
    "utf-16": ("systems: {}".encode("utf-16"), "is not UTF-8, with the byte 0xff in line 1; save"),
    "empty": (b"", "is empty; config/README.md says what stands in it"),
    "comments": (b"# nothing yet\n", "is empty; config/README.md says what stands in it"),
    "list": (b"- systems\n- cells\n", "holds list and no keys; write `systems:`"),
    "text": (b"systems\n", "holds str and no keys; write `systems:`"),
    "tab": (
        b"systems:\n\tdot: 1\n",
        "in line 2, column 1, found character '\\t' that cannot start",
    ),
    "bracket": (
        b"cells: { one: [1, 2 }\n",
        "is no YAML: in line 1, column 21, expected ',' or ']'",
    ),
    "indent": (b"cells:\n  a: 1\n b: 2\n", "is no YAML: in line 3, column 2, expected <block end>"),
    "alias": (b"cells: *base\n", "in line 1, column 8, found undefined alias 'base'; mend it"),
    "twice": (
        b"cells:\n  a: 1\n  a: 2\n",
        "line 3, column 3, the key 'a' stands there twice; mend",
    ),
    "tag": (b"cells: !!python/name:os.system x\n", "could not determine a constructor for the tag"),
    "control": (b"cells: \x00\n", "is no YAML: unacceptable character #x0000"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_configuration(case, tmp_path):
    content, sentence = FILES[case]
    (tmp_path / "own.yaml").write_bytes(content)
    found = given.unreadable(tmp_path / "own.yaml")
    assert found.startswith(str(tmp_path / "own.yaml"))
    assert sentence in found
    assert "\n" not in found
    with pytest.raises(SystemExit, match=r"The configuration cannot be used: .*own\.yaml"):
        given.refuse(["snakemake", "--cores", "1", "--configfile", str(tmp_path / "own.yaml")])


def test_a_file_that_is_not_there_or_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "smoke.yaml").write_text(SMOKE)
    assert f"is a folder; name a file in {'it'}" in given.unreadable(tmp_path)
    missing = given.unreadable(tmp_path / "smok.yaml")
    assert "smok.yaml does not exist (did you mean " in missing
    assert "name another, and targets before it" in missing
    assert given.unreadable(tmp_path / "smoke.yaml") == ""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_text", refuse)
    found = given.unreadable(tmp_path / "smoke.yaml")
    assert "cannot be read (Permission denied); allow it, or name another file" in found


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ("-n", []),
        ("--configfile a.yaml", ["a.yaml"]),
        ("--configfiles a.yaml b.yaml -n", ["a.yaml", "b.yaml"]),
        ("target --configfile=a.yaml other", ["a.yaml"]),
        ("--configfile a.yaml --cores 2 target", ["a.yaml"]),
    ],
)
def test_files_are_found_among_the_words(words, files):
    assert given.files(words.split()) == files


def circle(config):
    one = {"system": "dot-3", "architecture": "ordered", "beta": 10, "training": "short"}
    config["cells"]["a"] = one | {"start": {"cell": "b"}}
    config["cells"]["b"] = one | {"start": {"cell": "a"}}


def taught_by_itself(config):
    config["cells"]["taught"]["teacher"]["cell"] = "taught"


def put(path, value):
    def change(config):
        *parents, last = path.split("/")
        for name in parents:
            config = config[int(name) if isinstance(config, list) else name]
        config[last] = value

    return change


CONFIGS = [  # many more in tests/test_settings.py
    (circle, "cells.a.start.cell is 'b', which goes back to 'a' itself; let one of them begin"),
    (
        taught_by_itself,
        "cells.taught.teacher.cell is 'taught', which goes back to 'taught' itself;",
    ),
    (put("systems/dot-3/trap", "quadratic"), "is 'quadratic'; choose from harmonic, quartic"),
    (put("systems/dot-3/n", 0), "systems.dot-3.n is 0; it must be at least 1"),
    (put("systems/dot-3/n", -3), "systems.dot-3.n is -3; it must be at least 1"),
    (put("systems/dot-3/n", "three"), "systems.dot-3.n is 'three'; it must be of type integer"),
    (put("systems/dot-3/n", None), "systems.dot-3.n is None; it must be of type integer"),
    (put("systems/dot-3", None), "systems.dot-3 is None; it must be of type object"),
    (put("cells/talk-hot/beta", 0), "is 0; an inverse temperature is a number above 0"),
    (put("cells/talk-hot/beta", "-1e0"), "is '-1e0'; an inverse temperature is a number above 0"),
    (put("cells/talk-hot/beta", "cold"), "is 'cold'; an inverse temperature is a number above 0"),
    (put("architectures/mlp-8-8/flow", "mpl"), "is 'mpl'; choose from autoregressive, convex"),
    (put("architectures/mlp-8-8/depth", 3), "has the unknown key 'depth'; it knows flow, hidden"),
    (put("architectures/mlp-8-8/hidden", 8), "hidden is 8; it must be of type array"),
    (put("architectures/leapfrog", {"flow": "leapfrog", "layers": 2, "refresh": 3}), ""),
    (put("architectures", []), "architectures is []; it must be of type object"),
    (put("trainings/hot/phases/0/steps", "many"), "steps is 'many'; it must be of type integer"),
    (put("trainings/hot/phases/0/learning_rate", -1), "is -1; it must be above 0"),
    (put("figures/hot/kind", "densty"), "choose from bounds, correlation, density"),
    (put("figures/hot/flows", "talk-hot"), "flows is 'talk-hot'; it must be of type array"),
    (put("results", "../elsewhere me"), "results is '../elsewhere me', no path to use; take lett"),
]


@pytest.mark.parametrize(("change", "sentence"), CONFIGS)
def test_a_configuration_that_cannot_be(change, sentence):
    config = yaml.safe_load(SMOKE)
    change(config)
    if not sentence:  # options that are fine each and not together, once a cell has them
        put("cells/talk-hot/architecture", "leapfrog")(config)
        sentence = "leapfrog.refresh is 3; choose from 0 to the 2 layers (cell talk-hot)"
    with pytest.raises(schema.ConfigError) as caught:
        schema.check(config)
        schema.complete(config)
        settings.matrix(config)
        lineage.check(config)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("figures/hott.png", "is 'hott', which is not in figures; choose from final-result"),
        ("figures/hott.png", "(did you mean 'hot'?)"),
        ("figures/hot.gif", "results/smoke/figures/hot.gif is no figure; ask for NAME.pdf or NAME"),
        ("figures/column/hot.png", "figures/column/hot.png is no figure; ask for NAME.pdf or NAME"),
        ("flows/talkhot/beta1.5/seed0/model.pt", "is 'talkhot', which is not in cells; choose fro"),
        ("reference/dot-4/beta1/samples.parquet", "is 'dot-4', which is not in systems; choose"),
    ],
)
def test_a_target_that_nothing_makes(word, sentence):
    config = yaml.safe_load(SMOKE)
    with pytest.raises(schema.ConfigError) as caught:
        plan.refuse_words(["-n", f"results/smoke/{word}"], "results/smoke", config)
    assert sentence in str(caught.value)
    made = ("hot.png", "column/hot.pdf", "captions/hot.rst", "evolution.gif", "evolution.html")
    words = [f"results/smoke/figures/{name}" for name in made]
    plan.refuse_words([*words, "all"], "results/smoke", config)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"QDFLOW_DEVICE": "gpu"}, "QDFLOW_DEVICE is 'gpu'; choose from auto, cpu, cuda"),
        ({"QDFLOW_SLURM_TIME": "long"}, "QDFLOW_SLURM_TIME is 'long'; it must be a factor above 0"),
        ({"QDFLOW_SLURM_TIME": "-1"}, "QDFLOW_SLURM_TIME is '-1'; it must be a factor above 0"),
    ],
)
def test_an_environment_that_cannot_be(environment, sentence):
    with pytest.raises(schema.ConfigError, match=sentence):
        needs.site(environment)


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5"])
def test_numbers_for_a_cluster_that_cannot_be(value):
    with pytest.raises(ValueError, match=f"QDFLOW_SLURM_JOBS is '{value}'; it must be a whole"):
        cluster.whole("JOBS", 100, {"QDFLOW_SLURM_JOBS": value})
    assert cluster.whole("JOBS", 100, {"QDFLOW_SLURM_JOBS": ""}) == 100


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["watch", "nowhere"], "nowhere holds no plan.json, which a run writes when it starts;"),
        (["watch", "FILE"], "holds no plan.json, which a run writes when it starts; name"),
        (["watch", "ODD"], "holds no plan of a run; start the run again"),
        (["watch", "TORN"], "cannot be read (Expecting property name"),
        (["watch", "--every", "often"], "'often' is not a valid float range"),
        (["watch", "--every", "0"], "0.0 is not in the range x>=0.1"),
        (["show"], "Missing argument 'CELL'"),
        (["show", "z"], "no estimate of 'z' in the table of"),
        (["show", "a@cold"], "'cold' in 'a@cold' is no beta; write it like a@10"),
        (["show", "a@-1"], "a@-1 has no numbers yet; qdflow watch"),
        (["show", "a", "--curve", "a.gif"], "'a.gif' is neither .pdf nor .png"),
        (
            ["show", "a", "--curve", "FILE/a.png"],
            "FILE/a.png cannot be written (File exists); name another place",
        ),
        (["show", "a", "--results", "nowhere"], "nowhere/summary.parquet does not exist; run rule"),
        (["show", "a", "--results", "TORN"], "summary.parquet is not whole"),
        (["compare", "a"], "Missing argument 'B'"),
        (["compare", "a", "z"], "no estimate of 'z' in the table of"),
        (["compare", "a", "."], "'a' and '.' are not both folders of results, nor both cells"),
        (["compare", "a", "b", "--most", "0"], "0 is not in the range x>=1"),
        (["compare", "a", "b", "--fail-above", "-2"], "-2.0 is not in the range x>=0"),
        (["compare", "a", "b", "--fail-above", "few"], "'few' is not a valid float"),
        (["look"], "No such command 'look'"),
        (["--verbose"], "No such option '--verbose'"),
    ],
)
def test_a_command_line_that_cannot_be(results, tmp_path, arguments, sentence):  # noqa: F811
    history = {name: [1.0, 2.0] for name in ("step", "F", "F_stderr", "F_below")}
    (tmp_path / "FILE").write_text("no folder")
    for name, text in (("ODD", "[]"), ("TORN", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_text(text)
        (tmp_path / name / "summary.parquet").write_bytes(b"PAR1")
    tables.write(
        pd.DataFrame(history),
        results / "flows/a/beta10/seed0/history.parquet",
        dict.fromkeys(history, "1"),
        {},
    )
    places = [
        str(tmp_path / a) if a.split("/")[0] in ("FILE", "ODD", "TORN") else a for a in arguments
    ]
    if arguments[0] in ("show", "compare") and "--results" not in arguments:
        places += ["--results", str(results)]
    run = CliRunner().invoke(main, places)
    said = " ".join(run.output.split())
    assert run.exit_code in (1, 2), said
    assert isinstance(run.exception, SystemExit), run.exception
    assert sentence in said
    assert "Traceback" not in said


def mlp(n=2):
    return flows.build("mlp", System(n), torch.Generator().manual_seed(0), hidden=[2 * n])


def trained(beta=1.0, **phase):
    one = Phase(**({"steps": 1, "batch": 4, "learning_rate": 0.1} | phase))
    return train(mlp(), System(2), beta, [one], torch.Generator())


def judged(beta=1.0, size=10, **more):
    return estimate(mlp(), System(2), beta, size, torch.Generator(), **more)


def sampled(beta=1.0, threads=1, **budget):
    return reference(System(2), beta, Budget(**budget), 0, threads)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: System(0), "n is 0; it must be a whole number from 1 up"),
        (lambda: System(2.0), "n is 2.0; it must be a whole number from 1 up"),
        (lambda: System("3"), "n is '3'; it must be a whole number from 1 up"),
        (lambda: System(True), "n is True; it must be a whole number from 1 up"),
        (lambda: System(3, "square"), "unknown trap 'square'; choose from"),
        (lambda: flows.build("mpl", System(2), None), "unknown flow 'mpl'; choose from"),
        (
            lambda: flows.build("mlp", System(2), None, depth=3),
            "has no option 'depth'; choose from",
        ),
        (lambda: flows.build("mlp", System(2), None, hidden=4), "hidden is 4; it must be of type"),
        (lambda: flows.build("convex", System(2), None, layers=0), "layers is 0; it must be at l"),
        (lambda: build("uniform", 2), "unknown base 'uniform'; choose from gaussian, ginibre"),
        (lambda: Averaged(mlp(), "c4"), "MLP has no exact log_prob, which averaging over c4 needs"),
        (lambda: Averaged(mlp(), "c5"), "unknown group 'c5'; choose from c2, c4, c4v"),
        (lambda: Family(mlp(), 2, 1), "beta from 2 to 1 is no range; take 0 < low < high"),
        (lambda: trained(beta=0), "beta is 0; it must be a number above 0"),
        (lambda: trained(beta=float("nan")), "beta is nan; it must be a number above 0"),
        (lambda: trained(steps=0), "steps is 0; it must be a whole number from 1 up"),
        (lambda: trained(learning_rate=-0.1), "learning_rate is -0.1; it must be a number above"),
        (lambda: trained(forward=1.0), "a forward bound needs samples of p; pass them as referenc"),
        (lambda: judged(beta=-1), "beta is -1; it must be a number above 0"),
        (lambda: judged(beta="1"), "beta is '1'; it must be a number above 0"),
        (lambda: judged(size=0), "size is 0; it must be a whole number from 2 up"),
        (lambda: judged(chunk=0), "chunk is 0; it must be a whole number from 1 up"),
        (lambda: sampled(beta=float("inf")), "beta is inf; it must be a number above 0"),
        (lambda: sampled(ladders=1), "ladders is 1; it must be a whole number from 2 up"),
        (lambda: sampled(stderr_F=0), "stderr_F is 0; it must be a number above 0"),
        (lambda: sampled(threads=0), "threads is 0; it must be a whole number from 1 up"),
        (lambda: free_energy.ideal_free_energy(System(2), 0), "beta is 0; it must be a number ab"),
    ],
)
def test_a_call_of_the_library_that_cannot_be(call, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        (b"caf\xe9: 1\n", [], "own.yaml is not UTF-8, with the byte 0xe9 in line 1; save it"),
        (SMOKE.encode(), ["results/smoke/figures/hott.png"], "(did you mean 'hot'?)"),
        (
            SMOKE.replace("results: results/smoke", "results: README.md/x").encode(),
            ["README.md/x/reference/dot-3/beta10/ladder.parquet"],
            "the folder of results, README.md/x, cannot be written (Not a directory); make it",
        ),
    ],
)
def test_a_whole_command_ends_in_a_sentence(source, tmp_path, content, more, sentence):
    (tmp_path / "own.yaml").write_bytes(content)
    command = [sys.executable, "-m", "snakemake", *more, "--cores", "1"]
    run = subprocess.run(
        [*command, "--configfile", str(tmp_path / "own.yaml")],
        cwd=source,
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 1, said
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["PYTHON=python9", ".venv/ready"],
            "there is no python9 here; install Python 3.11 or newer",
        ),
        (["figurs"], "No rule to make target 'figurs'"),
    ],
)
def test_a_make_that_cannot_be(source, words, sentence):
    run = subprocess.run(["make", *words], cwd=source, capture_output=True, text=True)
    said = run.stdout + run.stderr
    assert run.returncode == 2, said
    assert sentence in said.replace("`", "'")
    assert not (source / ".venv").exists()
