"""Every page of the documentation: its code runs, its commands exist, its links lead somewhere."""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys

import click
import pages
import pytest
from conftest import ROOT
from snakemake.cli import get_argument_parser

from qdflow.cli import main

PYTEST = ".venv/bin/pytest"
CONTRACT = "(ladj or of_the_inverse or gradient_is or group_it)"  # the quick part of it
END = "-- end of block --"
MADE = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
SHELL = (
    "source .venv/bin/activate",
    "tar czf",
    "tar xzf",
    "git clone",
    "git checkout",
    "cd qdflow",
)
page_by_page = pytest.mark.parametrize(
    "page", pages.ALL, ids=lambda page: str(page.relative_to(ROOT))
)


RUN = [page for page in pages.ALL if pages.programs(page) and page.name != "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, source, tmp_path):
    """In a clone with the files that the page tells to write, as a script, from top to bottom."""
    clone = shutil.copytree(source, tmp_path / "qdflow")
    for name, text in pages.files(page).items():
        (clone / name).write_text(text)
    programs, said = zip(*pages.programs(page), strict=True)
    script = clone / "page.py"
    script.write_text(f"print({END!r})\n".join(programs))
    environment = os.environ | {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    ran = {"cwd": clone, "env": environment, "capture_output": True, "text": True}
    result = subprocess.run([sys.executable, script], check=False, **ran)
    assert result.returncode == 0, result.stderr
    for expected, printed in zip(said, result.stdout.split(f"{END}\n"), strict=True):
        assert expected is None or pages.agree(expected, printed), result.stdout
    further = []
    if "my.yaml" in pages.files(page):
        further = [(["snakemake", "-n", "--configfile", "my.yaml"], "rule figure:")]
    for _, file, _, name in (c.split() for c in pages.commands(page) if c.startswith(PYTEST)):
        further.append((["pytest", file, "-k", f"{name} and {CONTRACT}"], " passed"))
    for command, expected in further:
        result = subprocess.run([sys.executable, "-m", *command], check=False, **ran)
        assert result.returncode == 0, result.stdout + result.stderr
        assert expected in result.stdout + result.stderr


def test_what_is_not_run_here_is_run_elsewhere():
    assert "CONTRIBUTING.md" in (ROOT / "tests/test_one_file.py").read_text()


@page_by_page
def test_the_commands_of_a_page_exist(page):
    for command in pages.commands(page):
        check(command)


def check(command):
    words = shlex.split(command)
    while "=" in words[0]:
        words = words[1:]
    program, *arguments = words
    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        assert set(targets) <= {*MADE, ".venv/ready"}, command
    elif program == "qdflow":
        check_ours(arguments)
    elif program == "snakemake":
        check_snakemake(arguments, command)
    elif program in ("python", PYTEST):
        assert (ROOT / arguments[0]).is_file(), command
    else:
        assert command.startswith(SHELL), f"{command}: not known to exist; see SHELL"


def check_ours(arguments):
    """Parsed as click would, and not run."""
    context = main.make_context("qdflow", list(arguments))
    name, found, rest = main.resolve_command(context, [*context._protected_args, *context.args])
    if rest:
        with contextlib.suppress(click.exceptions.Exit):  # --help
            found.make_context(name, rest, parent=context)


def check_snakemake(arguments, command):
    try:
        known = get_argument_parser().parse_args(arguments)
    except (SystemExit, argparse.ArgumentError) as error:
        raise AssertionError(f"{command}: {error}") from None
    files = [path for path in known.configfile or [] if path.name != "my.yaml"]
    assert all((ROOT / path).is_file() for path in files), command
    profiles = [known.profile] if isinstance(known.profile, str) else known.profile or []
    assert all((ROOT / name / "config.yaml").is_file() for name in profiles), command


@page_by_page
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:")):  # nobody can follow these here
            continue
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def anchors(page):
    """Of its headings, as GitHub and MkDocs name them."""
    titles = re.findall(r"^#+ (.*)$", pages.FENCE.sub("", page.read_text()), re.M)
    return [
        re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles
    ]


@pytest.mark.parametrize(
    "command",
    [
        "make fgures",
        "qdflow sow x",
        "qdflow compare a",
        "qdflow watch --evry 2",
        "snakemake --coers 2",
        "snakemake --configfile config/none.yaml",
        "snakemake --profile nowhere",
        "python none.py",
    ],
)
def test_a_command_that_is_not_there_is_found(command):
    with pytest.raises((AssertionError, click.UsageError)):
        check(command)


def test_numbers_agree_by_chance_and_words_have_to():
    assert pages.agree("F = 157.56(3), 2", "F = 157.60(2), 2")
    assert not pages.agree("gain 0.138(1)", "gain 0.238(1)")
    assert not pages.agree("F = 157.56(3), 2", "F = 157.56(3), 3")
    assert not pages.agree("passed 1.0(1)", "failed 1.0(1)")
