"""What the pages of the documentation hold: code, what it prints, and commands."""

import re
from typing import NamedTuple

from conftest import ROOT

FOLDERS = ("", "config", "results", "docs", "docs/gallery")
ALL = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
FENCE = re.compile(r"^( *)```([a-z]*)(?: title=\"(\S+)\")?\n(.*?)^\1```$", re.M | re.S)
PROGRAMS = (
    "make",
    "snakemake",
    "qdflow",
    "python",
    "source",
    "tar",
    "git",
    "cd",
    r"\.venv/bin/pytest",
)
PROGRAM = re.compile(rf"(?:[A-Z_]+=\S+ +)*({'|'.join(PROGRAMS)}) ")
NUMBER = re.compile(r"(-?\d+\.?\d*)(?:\((\d+)\))?")


class Block(NamedTuple):
    """A fenced block: the language it says it is in, and a title if it is a file of that name."""

    language: str
    title: str
    text: str


def blocks(page):
    return [
        Block(m[2], m[3] or "", re.sub(rf"^{m[1]}", "", m[4], flags=re.M))
        for m in FENCE.finditer(page.read_text())
    ]


def files(page):
    """What the page says that one writes: text by path."""
    return {block.title: block.text for block in blocks(page) if block.title}


def programs(page):
    """Python blocks, each with what the page says that it prints, or None if it says nothing."""
    found = blocks(page)
    follows = [*found, Block("", "", "")][1:]
    return [
        (block.text, after.text if after.language == "text" else None)
        for block, after in zip(found, follows, strict=True)
        if block.language == "python" and not block.title
    ]


def commands(page):
    """Lines of blocks, and `spans` of text, that start with a program of ours or of the shell."""
    text = page.read_text()
    lines = [line for b in blocks(page) if b.language in ("", "sh") for line in b.text.split("\n")]
    prose = FENCE.sub("", text)
    lines += re.findall(r"^(?: {4}|\t)(.*)$", prose, re.M)  # indented blocks
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    lines += [span for span in spans if span.startswith(("make ", "snakemake ", "qdflow "))]
    return [line.split(" #")[0].strip() for line in lines if PROGRAM.match(line.strip() + " ")]


def agree(said, printed):
    """Whether two texts differ in nothing but numbers, and these by chance only.

    157.56(3) is a number with its error: such agree within six of both errors and one per cent, as
    another machine's last digits end in another training. Other numbers have to be the same.
    """
    if NUMBER.sub("#", said.rstrip()) != NUMBER.sub("#", printed.rstrip()):
        return False
    pairs = zip(NUMBER.finditer(said), NUMBER.finditer(printed), strict=True)
    return all(_close(*map(_with_error, pair)) for pair in pairs)


def _close(one, other):
    (a, error), (b, its_error) = one, other
    exact = error is None or its_error is None
    return a == b if exact else abs(a - b) <= 6 * (error + its_error) + 0.01 * abs(a)


def _with_error(match):
    digits = len(match[1].partition(".")[2])
    return float(match[1]), match[2] and int(match[2]) / 10**digits
