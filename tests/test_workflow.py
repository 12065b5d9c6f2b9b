"""The pipeline as its users run it, in a clone of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import many
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from pipeline import SMOKE, snakemake, succeed
from test_one_file import add_to

from qdflow import checkpoint, gallery, tables, watching
from qdflow.comparison import COMPARISONS
from qdflow.stats import Estimate
from qdflow.summary import COLUMNS, OWN, pick

# In the smoke configuration: every seed a cell, and every beta of the family, a single model.
REFERENCES, MODELS, CELLS = 4, 12, 14


def planned(clone, config="config/smoke.yaml"):
    """(rule, folder or name of its output) of every job that would run, `all` left out."""
    text = succeed(clone, "--dry-run", "--configfile", config)
    jobs = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    output: ([^,\n]+)", text, re.M)
    return {(rule, output.removeprefix("results/smoke/")) for rule, output in jobs}


def trained(jobs):
    return {output for rule, output in jobs if rule == "train"}


def rules(jobs):
    return {rule for rule, _ in jobs}


@pytest.fixture
def clone(finished, tmp_path):
    """A copy to change, with new time stamps everywhere, as a fresh clone has."""
    shutil.copytree(finished, tmp_path / "qdflow", copy_function=shutil.copyfile)
    return tmp_path / "qdflow"


def edit(path, old, new):
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))


def test_every_result_is_there(finished):
    results = finished / "results/smoke"
    figures = {p.name for p in (results / "figures").glob("*.*")}
    names = ("final-result", "ordered", "hot", "c4", "layers", "pairs", "ledger", "scale")
    names += ("thermodynamics", "bounds", "shells", "correlation", "overlap", "ladder")
    names += ("molecules", "evolution", "grid")
    drawn = {f"{name}.{kind}" for name in names for kind in ("pdf", "png")}
    assert figures == drawn | {"evolution.gif", "evolution.html"}
    assert {p.stem for p in (results / "figures/column").iterdir()} == set(names)
    assert {p.stem for p in (results / "figures/captions").iterdir()} == set(names)
    assert not list((results / "checkpoints").glob("*"))
    text = (finished / "output.txt").read_text()
    assert "Results" in text
    assert "figure: results/smoke/figures/final-result.pdf .png" in text
    logs = list((finished / "results/smoke/logs").rglob("*.log"))
    held = CELLS - 1  # of the family at a beta without a reference there is only the audit
    assert len(logs) >= REFERENCES + MODELS + 2 * CELLS + held + len(names) + 7


def test_the_summary_holds_together(finished):
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    assert list(summary.columns) == list(COLUMNS)
    keys = ["system", "beta", "cell", "architecture", "seed"]
    groups = dict(iter(summary.groupby(keys)))
    assert len(groups) == REFERENCES + CELLS
    refused = summary["verdict"].str.startswith("refused: ")
    assert np.isfinite(summary.loc[~refused, ["mean", "stderr", "ess"]]).all(axis=None)
    assert summary.loc[refused, ["mean", "stderr"]].isna().all(axis=None)
    own = summary["method"].isin(OWN)
    assert set(summary.loc[own, "method"]) == set(OWN)
    assert not refused[own].any()
    assert (summary.loc[own, "stderr"] > 0).all()
    for (system, beta, cell, architecture, _), rows in groups.items():
        F, E, S = (pick(rows, q) for q in "FES")
        assert S.mean == pytest.approx(beta * (E.mean - F.mean), abs=1e-9)
        if (cell, beta) == ("family", 4):  # without a reference
            continue
        exact = pick(groups[system, beta, "", "reference", 0], "F")
        if architecture == "reference":
            assert set(rows["verdict"]) == {"converged"}
            assert abs(pick(rows, "virial").sigmas_from(0)) < 4.5
        else:
            gap = Estimate(F.mean - exact.mean, np.hypot(F.stderr, exact.stderr), F.ess)
            assert gap.sigmas_from(0) > -4  # nothing is better than exact
            assert gap.mean < 5


def test_f_is_held_from_both_sides(finished):
    """What is not refused agrees with the reference, and every flow is audited."""
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    F = summary[(summary["quantity"] == "F") & ~summary["verdict"].str.startswith("refused")]
    exact = F[F["method"] == "ladder"].set_index(["system", "beta"])
    for row in F[F["cell"] != ""].itertuples():
        if (row.cell, row.beta) == ("family", 4):
            continue
        reference = exact.loc[(row.system, row.beta)]
        gap = Estimate(row.mean, row.stderr, row.ess).minus(Estimate(*reference[NUMBERS]))
        if row.method not in ("lower", "annealed_lower"):
            assert gap.sigmas_from(0) > -4.5, row
        if row.method not in ("variational", "annealed_upper"):
            assert gap.sigmas_from(0) < 4.5, row
    flows = summary[summary["cell"] != ""].groupby(["cell", "beta", "seed"])
    methods = flows["method"].agg(set)
    assert all("audit" in found for found in methods)
    assert {key[0] for key, found in methods.items() if "annealed" in found} == {"taught"}
    assert sum("lower" in found for found in methods) == CELLS - 1
    labelled = set(summary.loc[summary["quantity"] == "lost_relabellings", "cell"])
    assert "talk-cold" in labelled
    assert not labelled & {"permutation", "ordered", "taught", "family"}


def test_the_audit_has_the_last_word(finished):
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    cold = summary[summary["cell"] == "talk-cold"]
    audit = set(cold.loc[cold["method"] == "audit", "verdict"])
    assert len(audit) == 1
    assert set(cold.loc[cold["method"].isin(OWN), "verdict"]) == audit


def test_the_comparisons_hold_together(finished):
    results = finished / "results/smoke"
    table = tables.read(results / "comparisons.parquet", "compare", COMPARISONS)
    rows = {row.comparison: row for row in table.itertuples()}
    assert list(rows) == ["c4-afterwards", "permutation", "transformer"]
    c4 = rows["c4-afterwards"]
    assert c4.ceiling == pytest.approx(np.log(4) / 2)
    assert 0 <= c4.gain <= c4.ceiling
    assert 0 < c4.gain_stderr < 0.02
    assert abs(c4.against_F - c4.gain - c4.F) < 1e-9
    assert rows["permutation"].ceiling == pytest.approx(np.log(6) / 10)
    transformer = rows["transformer"]
    assert (transformer.seeds, transformer.against_seeds) == (2, 2)
    assert (transformer.steps, transformer.against_steps) == (60, 200)
    text = (finished / "output.txt").read_text()
    assert f"mlp-transformer against talk-hot at beta = 1.5: {transformer.verdict}" in text


def test_tables_know_where_they_come_from(finished):
    for path in (finished / "results/smoke").rglob("*.parquet"):
        note = tables.metadata(path, "any")
        assert re.fullmatch("[0-9a-f]{16}", note["config"]["code"]), path
        assert set(note["versions"]) >= {"torch", "numpy", "qdflow"}
        assert note["device"] == "cpu"
        assert set(note["units"]) == set(tables.read(path, "any").columns)
    history = finished / "results/smoke/flows/talk-cold/beta10/seed0/history.parquet"
    job = tables.metadata(history, "train")["config"]
    assert job["architecture"]["hidden"] == [8, 8]
    assert job["training"]["phases"][0]["steps"] == 100


def test_who_watches_sees_that_all_is_done(finished):
    rows = watching.rows(finished / "results/smoke", datetime.now())
    assert len(rows) == REFERENCES + CELLS
    assert {row.state for row in rows} == {"done"}
    assert all(row.F for row in rows)


def test_the_second_run_does_nothing(finished):
    assert "Nothing to be done" in succeed(finished, *SMOKE)


def test_a_fresh_clone_with_results_does_nothing(clone):
    assert planned(clone) == set()


def test_what_does_not_run_reruns_nothing(clone):
    for path in [*clone.rglob("*.py"), *clone.rglob("*.yaml"), *clone.rglob("*.parquet")]:
        path.touch()
    edit(clone / "qdflow/stats.py", '"""Numbers with', '"""All numbers with')
    edit(clone / "workflow/scripts/train.py", "job = ", "# a comment\njob = ")
    (clone / "README.md").write_text("New words.")
    assert planned(clone) == set()


COLD = "flows/talk-cold/beta10/seed0"
HOT = ("flows/talk-hot/beta1.5/seed0", "flows/talk-hot/beta1.5/seed1")
TRANSFORMERS = ("flows/mlp-transformer/beta1.5/seed0", "flows/mlp-transformer/beta1.5/seed1")
ORDERED = "flows/ordered/beta10/seed0"
TAUGHT = "flows/taught/beta10/seed0"
FROM_SUMMARY = {("summarize", "summary.parquet"), ("table", "summary.html")}
FROM_SUMMARY |= {("figure", f"figures/{name}.pdf") for name in ("scale", "bounds")}
NUMBERS = ["mean", "stderr", "ess"]


def looked_at(flow):
    names = {"estimate": "estimates", "audit": "audit", "bounds": "bounds"}
    return {(rule, f"{flow}/{name}.parquet") for rule, name in names.items()}


def test_an_architecture_reruns_its_cells_and_what_follows(clone):
    edit(clone / "qdflow/flows/mlp.py", "weight_std: Positive = 0.1", "weight_std: Positive = 0.2")
    jobs = planned(clone)
    looks = {"audit", "bounds"}
    made = {"train", "estimate", "frames", "grid", "summarize", "compare", "table"}
    assert rules(jobs) == made | looks | {"figure", "film"}
    assert trained(jobs) == {
        f"{flow}/model.pt"
        for flow in (COLD, *HOT, *TRANSFORMERS)  # which begin with an MLP
    }


def test_a_trap_reruns_its_references_and_cells(clone):
    edit(clone / "qdflow/traps/quartic.py", "return 2 * x *", "return x * 2 *")
    jobs = planned(clone)
    assert {job for job in jobs if job[0] in ("reference", "train")} == {
        ("reference", "reference/quartic-2/beta2/estimates.parquet"),
        ("train", "flows/c4-afterwards/beta2/seed0/model.pt"),
        ("train", "flows/c4-in-the-loss/beta2/seed0/model.pt"),
    }
    assert sum(rule == "estimate" for rule, _ in jobs) == 2


def test_new_files_rerun_nothing(clone):
    add_to(clone)
    assert planned(clone) == set()


def test_error_bars_retrain_only_what_learns_from_a_reference(clone):
    edit(clone / "qdflow/stats.py", "np.sqrt(ess)", "np.sqrt(ess + 1)")
    jobs = planned(clone)
    assert {"estimate", "reference"} <= rules(jobs)
    assert trained(jobs) == {f"{ORDERED}/model.pt"}


def test_sampling_reruns_the_references_and_what_learns_from_them(clone):
    edit(clone / "qdflow/mcmc.py", "_DRAWS = 8", "_DRAWS = 9")
    jobs = planned(clone)
    assert sum(rule == "reference" for rule, _ in jobs) == REFERENCES
    assert {output for rule, output in jobs if rule in ("train", "estimate")} == {
        f"{ORDERED}/model.pt",
        f"{ORDERED}/estimates.parquet",
    }


@pytest.mark.parametrize(
    ("flow", "waits"), [("talk-cold", False), ("taught", False), ("ordered", True)]
)
def test_only_an_objective_that_takes_samples_waits_for_the_reference(source, flow, waits):
    model = f"results/smoke/flows/{flow}/beta10/seed0/model.pt"
    text = succeed(source, "--dry-run", model, *SMOKE)
    assert ("rule reference:" in text) == waits


def test_tables_say_what_was_learned_from(finished):
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    assert set(summary.loc[summary["cell"] == "ordered", "objective"]) == {"mixed"}
    history = tables.read(finished / "results/smoke" / ORDERED / "history.parquet", "train")
    assert history["F"].isna().tolist() == [True] * 60 + [False] * 60
    assert history["F_below"].notna().all()


def test_a_family_is_one_model_that_is_estimated_at_every_beta(clone):
    """One more beta trains nothing and samples no reference."""
    flows = clone / "results/smoke/flows/family"
    assert sorted(p.name for p in flows.iterdir()) == ["beta1.5", "beta10", "beta4", "family"]
    assert [p.parent.parent.name for p in flows.rglob("model.pt")] == ["family"]
    assert not list((clone / "results/smoke/reference/dot-3").glob("beta4"))
    edit(clone / "config/smoke.yaml", "beta: [1.5, 4, 10]", "beta: [1.5, 4, 8, 10]")
    assert planned(clone) == FROM_SUMMARY | {
        ("estimate", "flows/family/beta8/seed0/estimates.parquet"),
        ("audit", "flows/family/beta8/seed0/audit.parquet"),
        ("figure", "figures/thermodynamics.pdf"),
    }


def test_a_familys_options_retrain_it(clone):
    edit(clone / "config/smoke.yaml", "low: 1, high", "low: 1.2, high")
    jobs = planned(clone)
    assert trained(jobs) == {"flows/family/family/seed0/model.pt"}
    assert sum(rule == "estimate" for rule, _ in jobs) == 3


def test_a_pupil_of_a_flow_learns_from_it_first_and_says_so(finished):
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    claims = set(summary.loc[summary["cell"] == "taught", "objective"])
    assert claims == {"reverse, after permutation"}
    history = tables.read(finished / "results/smoke" / TAUGHT / "history.parquet", "train")
    assert history["F"].isna().tolist() == [True] * 60 + [False] * 30
    assert history["F_below"].isna().all()  # a teacher's samples bound nothing
    fresh = tables.read(finished / "results/smoke" / ORDERED / "history.parquet", "train")
    assert history["F"][60] < fresh["F"][60] + 1


def test_what_a_teacher_learned_reruns_its_pupil(clone):
    edit(
        clone / "config/smoke.yaml",
        "architecture: permutation, beta: 10, training: short",
        "architecture: permutation, beta: 10, training: hot",
    )
    assert trained(planned(clone)) == {
        "flows/permutation/beta10/seed0/model.pt",
        f"{TAUGHT}/model.pt",
    }


def test_a_training_starts_where_another_ended(clone):
    """F of its first batch is that of the other's last ones; from scratch it is far above."""
    edit(
        clone / "config/smoke.yaml",
        "  taught:\n    system",
        "  further:\n    { system: dot-3, architecture: ordered, beta: 10, training: short,"
        " start: { cell: taught } }\n  taught:\n    system",
    )
    path = "results/smoke/flows/further/beta10/seed0/history.parquet"
    succeed(clone, path, *SMOKE)
    history = tables.read(clone / path, "train")
    before = tables.read(clone / "results/smoke" / TAUGHT / "history.parquet", "train")
    apart = history["F"][0] - before["F"][-5:].mean()
    assert abs(apart) < 4 * history["F_stderr"][0]


def test_what_all_jobs_import_reruns_all(clone):
    edit(clone / "qdflow/tables.py", 'compression="zstd"', 'compression="snappy"')
    assert len(planned(clone)) == len(list((clone / "results/smoke/logs").rglob("*.log")))


def test_a_hyperparameter_reruns_its_cell(clone):
    edit(clone / "config/smoke.yaml", "steps: 100", "steps: 101")
    jobs = planned(clone)
    shown = ("final-result", "ledger", "shells", "overlap", "molecules", "evolution", "grid")
    assert jobs == FROM_SUMMARY | looked_at(COLD) | {
        ("train", f"{COLD}/model.pt"),
        ("frames", f"{COLD}/frames.parquet"),
        ("grid", f"{COLD}/grid.parquet"),
        ("compare", "comparisons.parquet"),
        ("film", "figures/evolution.gif"),
        *(("figure", f"figures/{name}.pdf") for name in shown),
    }


def test_how_hard_the_audit_looks_reruns_the_audits(clone):
    edit(clone / "config/smoke.yaml", "preimages: 20", "preimages: 21")
    jobs = planned(clone)
    assert rules(jobs) == {"audit", "summarize", "compare", "table", "figure"}
    assert sum(rule == "audit" for rule, _ in jobs) == CELLS


def test_annealing_further_anneals_that_flow_alone(clone):
    edit(clone / "config/smoke.yaml", "width: 0.3", "width: 0.2")
    assert planned(clone) == FROM_SUMMARY | {("anneal", f"{TAUGHT}/anneal.parquet")}


def test_what_is_compared_reruns_the_comparisons_only(clone):
    edit(clone / "config/smoke.yaml", "against: talk-cold, beta", "against: rotation, beta")
    assert planned(clone) == {
        ("compare", "comparisons.parquet"),
        ("figure", "figures/ledger.pdf"),
    }


def test_averaging_in_another_way_retrains_that_cell(clone):
    edit(clone / "config/smoke.yaml", "averaging: in_the_loss", "averaging: afterwards")
    jobs = planned(clone)
    assert trained(jobs) == {"flows/c4-in-the-loss/beta2/seed0/model.pt"}


def test_values_that_swap_are_noticed(clone):
    """Snakemake compares params as an unnamed set: two that trade values would look the same."""
    edit(clone / "config/smoke.yaml", "steps: 100, batch: 128", "steps: 128, batch: 100")
    assert ("train", f"{COLD}/model.pt") in planned(clone)


def test_a_new_beta_runs_that_beta(clone):
    edit(
        clone / "config/smoke.yaml",
        "architecture: rotation, beta: 10",
        "architecture: rotation, beta: [10, 2.0]",
    )
    jobs = planned(clone)
    assert jobs == FROM_SUMMARY | looked_at("flows/rotation/beta2/seed0") | {
        ("reference", "reference/dot-3/beta2/estimates.parquet"),
        ("train", "flows/rotation/beta2/seed0/model.pt"),
        ("figure", "figures/thermodynamics.pdf"),  # which shows every reference of its system
    }


def test_another_spelling_of_beta_is_the_same_cell(clone):
    edit(clone / "config/smoke.yaml", "mlp-8-8, beta: 1.5", 'mlp-8-8, beta: "15e-1"')
    assert planned(clone) == set()


def test_a_figures_script_and_title_redraw_that_figure(clone):
    edit(
        clone / "workflow/scripts/figure_final_result.py",
        "math.lgamma(shown.n + 1)",
        "math.lgamma(shown.n)",
    )
    drawn = {("figure", f"figures/{name}.pdf") for name in ("final-result", "ordered")}
    assert planned(clone) == drawn
    edit(clone / "config/smoke.yaml", "[6, 8, 8, 6] at", "Hot: [6, 8, 8, 6] at")
    assert planned(clone) == drawn | {("figure", "figures/hot.pdf")}


def test_other_versions_of_packages_rerun_nothing_and_are_reported(clone):
    """The stated policy: numbers stay, say what made them, and mixtures are named."""
    for name in ("pyproject.toml", "requirements.txt", "envs/flows.yaml"):
        edit(clone / name, "torch==2.13.0", "torch==2.14.1")
    assert planned(clone) == set()
    bounds = clone / "results/smoke" / COLD / "bounds.parquet"
    table = pq.read_table(bounds)
    note = json.loads(table.schema.metadata[b"qdflow"])
    note["versions"]["torch"] = "2.14.1"
    pq.write_table(table.replace_schema_metadata({"qdflow": json.dumps(note)}), bounds)
    os.utime(bounds, (1, 1))
    report = [sys.executable, "workflow/scripts/report.py", "results/smoke"]
    text = subprocess.run(report, cwd=clone, capture_output=True, text=True, check=True).stdout
    assert "Not all results were computed with the same torch: " in text
    assert f"2.14.1 (results/smoke/{COLD})" in text
    assert "same numpy" not in text


ADOPTED = ["results/smoke", ".snakemake/metadata"]


@pytest.mark.parametrize("given", [ADOPTED, ADOPTED[:1]], ids=["packed", "results-only"])
def test_published_results_are_adopted(finished, source, tmp_path, given):
    """As docs/operations.md says: nothing reruns, and later changes are noticed."""
    clone, archive = tmp_path / "qdflow", tmp_path / "results.tar.gz"
    shutil.copytree(source, clone)
    subprocess.run(["tar", "czf", archive, *given], cwd=finished, check=True)
    subprocess.run(["tar", "xzf", archive], cwd=clone, check=True)
    if given != ADOPTED:
        succeed(clone, *SMOKE, "--touch", "--forceall")
    assert planned(clone) == set()
    short = "  short:\n    phases:\n      - { steps: "
    edit(clone / "config/smoke.yaml", f"{short}60", f"{short}61")
    assert ("train", "flows/rotation/beta10/seed0/model.pt") in planned(clone)
    assert ("train", f"{COLD}/model.pt") not in planned(clone)


def test_a_thousand_cells_are_planned(source, tmp_path):
    path = tmp_path / "many.yaml"
    path.write_text(yaml.safe_dump(many.config(1000)))
    jobs = planned(source, str(path))
    assert Counter(rule for rule, _ in jobs) == {
        "reference": 20,
        **dict.fromkeys(["train", "estimate", "audit", "bounds"], 1000),
        "summarize": 1,
        "table": 1,
        "figure": 1,
    }


def test_drawing_and_summing_up_again_gives_the_same_bytes(clone):
    results = clone / "results/smoke"
    made = [p for p in results.joinpath("figures").rglob("*") if p.is_file()]
    made += [results / name for name in ("summary.parquet", "summary.html", "comparisons.parquet")]
    before = {path: path.read_bytes() for path in made}
    for path in made:
        path.unlink()
    succeed(clone, *SMOKE)
    assert {path: path.read_bytes() for path in made} == before


def fill_docs(clone):
    """As `make docs` does."""
    run = [sys.executable, "workflow/scripts/docs.py", "results/smoke"]
    run += ["README.md", "docs/slides.md"]
    environment = os.environ | {"PYTHONPATH": str(clone)}
    return subprocess.run(run, cwd=clone, env=environment, capture_output=True, text=True)


def test_the_pages_take_up_the_numbers_again_and_again(clone):
    """A table that is there already is replaced."""
    end = "<!-- end of results -->"
    (clone / "README.md").write_text(f"<!-- results: talk-cold talk-hot -->\n{end}\n")
    (clone / "docs/slides.md").write_text(
        f"<!-- results: talk-hot; F closest -->\nstale\n{end}\n"
        f"<!-- comparisons: transformer -->\n{end}\n"
        "F = <!-- value: talk-cold F -->stale<!-- end -->,"
        " <!-- value: talk-hot exact --><!-- end -->"
    )
    (clone / "docs/design.md").write_text("No marks.")
    for _ in range(2):
        run = fill_docs(clone)
        assert run.returncode == 0, run.stderr
    text = (clone / "README.md").read_text()
    assert re.findall(r"^\| dot-3 \| (.*?) \| (.*?) \|", text, re.M) == [
        ("10", "reference"),
        ("10", "talk-cold"),
        ("1.5", "reference"),
        ("1.5", "talk-hot"),
        ("1.5", "talk-hot"),
    ]
    page = (clone / "docs/slides.md").read_text()
    assert "stale" not in page
    assert "| system | beta | cell | seed | F | closest | verdict |" in page
    assert page.count("| mlp-transformer | talk-hot | 1.5 |") == 1
    summary = tables.read(clone / "results/smoke/summary.parquet", "summarize", COLUMNS)
    cold, exact = (
        pick(summary[(summary["cell"] == cell) & (summary["beta"] == beta)], "F")
        for cell, beta in (("talk-cold", 10), ("", 1.5))
    )
    assert f"talk-cold F -->{cold}<!-- end -->" in page
    assert f"talk-hot exact -->{exact}<!-- end -->" in page


def test_the_gallery_is_made_from_a_run(clone):
    """As `make docs` does: pictures of other runs stay, those of this one take their places."""
    before = gallery.stamps(clone / "docs/gallery")
    others = gallery.numbers(clone / "docs/gallery")["run"].unique().tolist()
    command = [sys.executable, "workflow/scripts/gallery.py", "config/smoke.yaml", "docs/gallery"]
    environment = os.environ | {"PYTHONPATH": str(clone)}
    for _ in range(2):
        subprocess.run(command, cwd=clone, env=environment, check=True)
    stamps = gallery.stamps(clone / "docs/gallery")
    assert set(before) < set(stamps)
    assert "evolution.gif" in stamps
    assert stamps["final-result.png"]["run"] == "smoke"
    assert gallery.unknown(clone / "docs/gallery") == []
    page = (clone / "docs/gallery/README.md").read_text()
    assert f"![Smoke: n = 3, β = 10](final-result.png)\n\n{'The density of a flow'}" in page
    figure = clone / "results/smoke/figures/final-result.png"
    with Image.open(clone / "docs/gallery/final-result.png") as ours, Image.open(figure) as theirs:
        small = np.asarray(theirs.convert("RGB").resize(ours.size), int)
        assert np.abs(np.asarray(ours.convert("RGB")) - small).mean() < 5
    runs = gallery.numbers(clone / "docs/gallery")["run"].unique().tolist()
    assert runs == [*others, "smoke"]


def test_a_gallery_of_a_run_that_is_not_finished_is_refused(source):
    command = [sys.executable, "workflow/scripts/gallery.py", "config/smoke.yaml", "docs/gallery"]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert run.returncode != 0
    assert "was not run to its end: results/smoke/summary.parquet does not exist" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_mark_that_asks_for_what_is_not_there_is_named(clone):
    (clone / "README.md").write_text("<!-- results: talk-warm -->\n<!-- end of results -->\n")
    run = fill_docs(clone)
    assert run.returncode != 0
    assert "asks for what results/smoke does not hold: no estimate of 'talk-warm'" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_broken_table_is_named_with_its_remedy(clone):
    broken = clone / "results/smoke" / COLD / "estimates.parquet"
    os.truncate(broken, 100)
    for path in (clone / "results/smoke/figures").glob("final-result.*"):
        path.unlink()
    run = snakemake(clone, *SMOKE)
    assert run.returncode != 0
    assert f"{COLD}/estimates.parquet is not whole" in run.stdout + run.stderr
    broken.unlink()
    succeed(clone, *SMOKE)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("steps: 100", "stpes: 100", "the unknown key 'stpes' (did you mean 'steps'?)"),
        ("n: 3,", "n: 0,", "systems.dot-3.n is 0; it must be at least 1"),
        ("beta: 10,", "beta: -10,", "cells.talk-cold.beta is -10; an inverse temperature"),
    ],
)
def test_a_bad_configuration_stops_before_any_job(source, tmp_path, old, new, sentence):
    bad = tmp_path / "bad.yaml"
    bad.write_text((source / "config/smoke.yaml").read_text())
    edit(bad, old, new)
    run = snakemake(source, "--configfile", str(bad))
    text = run.stdout + run.stderr
    assert run.returncode != 0
    assert "The configuration cannot be used: " in text
    assert sentence in text
    assert "Traceback" not in text
    assert "rule " not in text
    assert not (source / "results/smoke").exists()


def test_a_training_killed_in_the_middle_goes_on(source, tmp_path):
    """kill -9 of the training job, then the same command: the model of a run left alone."""
    clone = tmp_path / "qdflow"
    shutil.copytree(source, clone)
    config = yaml.safe_load((clone / "config/smoke.yaml").read_text())
    config["trainings"]["cold"]["phases"] = [
        {"steps": 12000, "batch": 128, "learning_rate": 0.01, "decay": 0.1}
    ]
    (clone / "long.yaml").write_text(yaml.safe_dump(config))
    model = f"results/smoke/{COLD}/model.pt"
    arguments = (model, "--configfile", "long.yaml")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    run = subprocess.Popen(
        command, cwd=clone, env=os.environ | {"PYTHONPATH": str(clone)}, stderr=subprocess.DEVNULL
    )
    _wait_for(lambda: list((clone / "results/smoke/checkpoints").glob("*.pt")), run)
    (job,) = [
        child
        for child in psutil.Process(run.pid).children(recursive=True)
        if any(part.endswith("train.py") for part in child.cmdline())
    ]
    os.kill(job.pid, signal.SIGKILL)
    assert run.wait(60) != 0
    assert not (clone / model).exists()
    succeed(clone, *arguments)
    log = (clone / "results/smoke/logs/train/talk-cold/beta10/seed0.log").read_text()
    assert "resumed at step" in log
    assert not list((clone / "results/smoke/checkpoints").glob("*"))

    alone = tmp_path / "alone"
    shutil.copytree(source, alone)
    shutil.copyfile(clone / "long.yaml", alone / "long.yaml")
    succeed(alone, *arguments)
    assert (clone / model).read_bytes() == (alone / model).read_bytes()
    assert checkpoint.load(clone / model)["beta"] == 10.0
    snapshots = [(folder / model).with_name("snapshots.pt") for folder in (clone, alone)]
    assert snapshots[0].read_bytes() == snapshots[1].read_bytes()


def _wait_for(condition, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, f"nothing happened for {seconds} s"
        time.sleep(0.05)


def test_the_default_configuration_plans_the_talk(source):
    text = succeed(source, "--dry-run")
    assert "results/figures/final-result.pdf" in text
    assert Path(source / "config/config.yaml").exists()
    assert "smoke" not in text
