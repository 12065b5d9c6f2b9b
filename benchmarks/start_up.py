"""What the pipeline costs before it computes: imports of each job, plans, what groups save."""

import ast
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from benchmarks.harness import ROOT, Contender, Match, Row, row

SCRIPTS = ROOT / "workflow/scripts"
CELLS = 1000


def matches(quick: bool) -> list[Match]:
    """Imports, then plans."""
    cells = 50 if quick else CELLS
    jobs = scripts()
    imports = [
        Contender(f"qdflow {job}", "benchmarks.start_up:imports", {"job": job}, note="imports")
        for job in (jobs[:2] if quick else jobs)
    ]
    plans = [
        Contender("qdflow smoke", "benchmarks.start_up:plan", note="snakemake --dry-run"),
        Contender(
            f"qdflow {cells:,} cells",
            "benchmarks.start_up:plan",
            {"cells": cells},
            note="snakemake --dry-run",
        ),
    ]
    python = Contender("qdflow nothing", "benchmarks.start_up:imports", note="Python alone")
    return [
        Match("start_up", "imports", [python, *imports], cores=1, rounds=1 if quick else 2),
        Match("start_up", "plans", plans, rounds=1 if quick else 3, extra=grouping),
    ]


def scripts() -> list[str]:
    """Those of jobs, which say so by how they fail; of the figures one."""
    paths = sorted(SCRIPTS.glob("*.py"))
    texts = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    jobs = [name for name, text in texts.items() if "sentences(snakemake)" in text]
    kinds = [job for job in jobs if job.startswith("figure_")]
    return [job for job in jobs if job not in kinds[1:]]


def imports(job: str = "") -> Callable[[], None]:
    """Python starts, and imports what this job's script imports at its top."""
    return lambda: _run([sys.executable, "-c", statements(job) if job else "pass"], ROOT)


def statements(job: str) -> str:
    """The imports of a script, as a program."""
    tree = ast.parse((SCRIPTS / f"{job}.py").read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, found))


def plan(cells: int = 0) -> Callable[[], dict[str, float]]:
    """Snakemake plans everything, with no results yet: the smoke matrix, or many small cells."""
    folder = Path(tempfile.mkdtemp())
    config = ROOT / "config/smoke.yaml"
    if cells:
        config = folder / "many.yaml"
        _run([sys.executable, str(ROOT / "tests/many.py"), str(cells), str(config)], ROOT)
    command = [
        *(sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--cores", "1"),
        *("--snakefile", str(ROOT / "Snakefile"), "--configfile", str(config)),
        *("--directory", str(folder)),
    ]

    def turn() -> dict[str, float]:
        start = time.perf_counter()
        text = _run(command, folder)
        counts = jobs(text)
        return {
            "seconds": time.perf_counter() - start,
            "jobs": sum(counts.values()),
            "submissions in groups": submissions(counts),
        }

    return turn


def jobs(text: str) -> Counter[str]:
    """How many jobs of each rule a dry run announces."""
    found = re.findall(r"^(\w+) +(\d+)$", text.partition("Job stats:")[2], re.M)
    if not found:
        raise ValueError("the dry run announced no jobs; run snakemake --dry-run and see why")
    counts: Counter[str] = Counter()
    for rule, number in found:
        if rule not in ("total", "all"):
            counts[rule] = max(counts[rule], int(number))  # it is said twice
    return counts


def submissions(counts: Counter[str]) -> int:
    """How many jobs a cluster gets, as the profile slurm groups them, if all groups are full."""
    profile = (ROOT / "slurm/config.yaml").read_text(encoding="utf-8")
    text = re.sub(r": \?.*?(\d+).*", r": \1", profile)
    part = re.search(r"^groups:\n.*?^group-components:\n(?: +.*\n)+", text, re.M | re.S)
    if part is None:
        raise ValueError("slurm/config.yaml names no groups")
    spec = yaml.safe_load(part[0])
    in_group: Counter[str] = Counter()
    alone = 0
    for rule, number in counts.items():
        if rule in spec["groups"]:
            in_group[spec["groups"][rule]] += number
        else:
            alone += number
    return alone + sum(-(-n // spec["group-components"][g]) for g, n in in_group.items())


def grouping(rows: list[Row]) -> list[Row]:
    """What is saved at a snakemake's start for each submission, which plans the smoke matrix."""
    by = {(r["contender"], r["quantity"]): r for r in rows}
    found = []
    for (contender, quantity), each in by.items():
        if quantity == "jobs" and ("qdflow smoke", "seconds") in by:
            start = by["qdflow smoke", "seconds"]["value"]
            fewer = each["value"] - by[contender, "submissions in groups"]["value"]
            note = "submissions less, at a start of snakemake each"
            found.append(row(each, "saved by groups", [fewer * start], unit="s", note=note))
    return found


def _run(command: Sequence[str], folder: Path) -> str:
    paths = [str(ROOT), str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}: {last}")
    return done.stdout + done.stderr
