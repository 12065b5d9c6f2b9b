"""What jobs ask a cluster for, and what the profile makes of it and of the environment."""

import math

import cluster
import needs
import pytest
import schema
import settings
import yaml
from conftest import ROOT
from snakemake.profiles import ProfileConfigFileParser

from qdflow import device, flows

VARIABLES = ("PARTITION", "GPU_PARTITION", "GPU_TYPE", "ACCOUNT", "QOS")
VARIABLES += ("TIME", "JOBS", "TOGETHER", "STATUS")


@pytest.fixture
def config():
    content = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    schema.complete(content)
    return content


@pytest.fixture
def profile(monkeypatch):
    """The profile as snakemake reads it, with these variables and no others."""
    monkeypatch.chdir(ROOT)
    for name in ("QDFLOW_DEVICE", *(f"QDFLOW_SLURM_{name}" for name in VARIABLES)):
        monkeypatch.delenv(name, raising=False)

    def read(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with (ROOT / "slurm/config.yaml").open() as file:
            return ProfileConfigFileParser().parse(file)

    return read


def test_every_job_of_the_smoke_matrix_fits_a_small_node(config):
    matrix = settings.matrix(config)
    found = [needs.reference(s, b, config) for s, b in matrix.references]
    for cell in matrix.cells:
        looks = settings.looks(cell, matrix, config)
        found += [getattr(needs, rule)(cell.name, config) for rule in ("train", "estimate", *looks)]
    for need in [*found, needs.small()]:
        assert 1000 <= need.mem_mb <= 4000
        assert 5 <= need.minutes <= 120


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (("systems", "dot-3", "n"), "train"),
        (("systems", "dot-3", "n"), "estimate"),
        (("systems", "dot-3", "n"), "audit"),
        (("systems", "dot-3", "n"), "bounds"),
        (("trainings", "mixed", "phases", 1, "batch"), "train"),
        (("estimate", "samples"), "estimate"),
        (("audit", "samples"), "audit"),
        (("bounds", "samples"), "bounds"),
    ],
)
def test_larger_jobs_ask_for_more(config, path, rule):
    before = getattr(needs, rule)("ordered", config)
    inner = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] *= 100
    after = getattr(needs, rule)("ordered", config)
    assert after.minutes > before.minutes
    assert after.mem_mb >= before.mem_mb


def test_a_reference_asks_for_more_time_the_more_it_has_to_find_out(config):
    before = needs.reference("dot-3", "10", config).minutes
    config["reference"]["stderr_F"] /= 10
    closer = needs.reference("dot-3", "10", config).minutes
    config["systems"]["dot-3"]["n"] = 30
    assert before < closer < needs.reference("dot-3", "10", config).minutes


def test_annealing_asks_for_all_steps_that_it_may_take(config):
    before = needs.anneal("taught", config)
    config["cells"]["taught"]["anneal"]["max_steps"] *= 10
    assert needs.anneal("taught", config).minutes > before.minutes


def test_families_averages_and_double_precision_take_longer(config):
    plain = needs.train("c4-afterwards", config).minutes
    config["cells"]["c4-afterwards"]["averaging"] = "in_the_loss"
    averaged = needs.train("c4-afterwards", config).minutes
    config["trainings"]["hot"]["precision"] = "float64"
    assert plain < averaged < needs.train("c4-afterwards", config).minutes
    family = needs.train("family", config).minutes
    del config["cells"]["family"]["family"]
    assert needs.train("family", config).minutes < family


def test_attempts_ask_for_more_and_whole_numbers():
    asked = needs.resources(lambda wc: needs.Need(1000.5 * wc, 10.2), needs.Site())
    assert [asked["mem_mb"](2, attempt) for attempt in (1, 2, 3)] == [2001, 4002, 8004]
    assert [asked["runtime"](2, attempt) for attempt in (1, 2, 3)] == [11, 21, 41]


def test_the_site_s_factor_shortens_and_lengthens_but_leaves_a_minute():
    for factor, minutes in ((1e-6, 1), (0.5, 6), (3.0, 33)):
        asked = needs.resources(lambda _: needs.Need(1000, 11), needs.Site(time=factor))
        assert asked["runtime"](None, 1) == minutes


def test_the_environment_is_read_and_checked():
    assert needs.site({}) == needs.site({"QDFLOW_DEVICE": "", "QDFLOW_SLURM_TIME": ""})
    assert needs.site({"QDFLOW_DEVICE": "cuda", "QDFLOW_SLURM_TIME": "2.5"}) == ("cuda", 2.5)
    with pytest.raises(schema.ConfigError, match="QDFLOW_DEVICE is 'gpu'; choose from auto, cpu"):
        needs.site({"QDFLOW_DEVICE": "gpu"})
    for text in ("fast", "0", "-1", "inf", "nan"):
        with pytest.raises(schema.ConfigError, match=f"QDFLOW_SLURM_TIME is '{text}'"):
            needs.site({"QDFLOW_SLURM_TIME": text})


def test_what_is_known_here_without_torch_is_what_the_library_has():
    assert needs.DEVICES == device.CHOICES
    assert set(needs.SECONDS) == set(flows.NAMES)


def test_an_unknown_flow_is_taken_for_the_slowest(config):
    slowest = needs.train("ordered", config)
    config["architectures"]["ordered"]["flow"] = "new"
    assert needs.train("ordered", config) == slowest


def test_without_accounts_squeue_is_asked():
    none = "AccountingStoreFlags    = (null)\nAccountingStorageType   = accounting_storage/none\n"
    assert cluster.status_command({}, lambda: none) == "squeue"
    assert cluster.status_command({}, lambda: none.replace("storage/none", "storage/slurmdbd")) == (
        "sacct"
    )
    assert cluster.status_command({}, lambda: "") == "sacct"
    assert cluster.status_command({cluster.STATUS: "sacct"}, lambda: none) == "sacct"
    with pytest.raises(ValueError, match="QDFLOW_SLURM_STATUS is 'ps'; choose from sacct, squeue"):
        cluster.status_command({cluster.STATUS: "ps"})


def test_without_any_variable_the_profile_leaves_all_to_the_site(profile):
    found = profile()
    assert found["executor"] == "slurm"
    assert "default-resources" not in found
    assert "slurm-qos" not in found
    assert {"train:device=cpu", "anneal:device=cpu"} < set(found["set-resources"])
    assert not [entry for entry in found["set-resources"] if "gpu" in entry]


def test_with_a_gpu_partition_what_trains_or_samples_asks_for_one(profile):
    found = profile(QDFLOW_SLURM_GPU_PARTITION="fast", QDFLOW_SLURM_PARTITION="plain")
    assert found["default-resources"] == ["slurm_partition=plain"]
    for rule in ("train", "estimate", "anneal"):
        wanted = {"slurm_partition=fast", "gpu=1", "device=cuda"}
        assert {f"{rule}:{one}" for one in wanted} < set(found["set-resources"])
    assert "audit:device=cpu" in found["set-resources"]
    # global, they would be one GPU, and one short job, for all jobs together
    assert found["set-resource-scopes"] == ["gpu=local", "side_by_side=local"]


def test_the_profile_passes_on_what_the_site_wants(profile):
    found = profile(
        QDFLOW_SLURM_GPU_PARTITION="fast",
        QDFLOW_SLURM_GPU_TYPE="a100",
        QDFLOW_SLURM_ACCOUNT="physics",
        QDFLOW_SLURM_QOS="long",
        QDFLOW_SLURM_JOBS="7",
        QDFLOW_DEVICE="cpu",
    )
    assert found["default-resources"] == ["slurm_account=physics"]
    assert {"train:gpu_model=a100", "train:device=cpu"} < set(found["set-resources"])
    assert (found["slurm-qos"], found["jobs"]) == ("long", "7")


def test_every_variable_is_explained():
    page = (ROOT / "docs/operations.md").read_text()
    for name in ("QDFLOW_DEVICE", *(f"QDFLOW_SLURM_{name}" for name in VARIABLES)):
        assert f"`{name}`" in page, name


def test_the_default_profile_leaves_the_site_to_the_others():
    ours = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    taken = {"executor", "jobs", "default-resources", "set-resources", "retries", "groups"}
    assert not taken & set(ours)


def test_no_need_is_infinite(config):
    config["reference"]["stderr_F"] = 1e-9
    assert math.isfinite(needs.reference("dot-3", "10", config).minutes)
