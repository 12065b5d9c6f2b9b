"""Measure the coverage of all error bars, and put the table into a page, between its marks.

Usage: validation.py PAGE

    <!-- coverage -->
    <!-- end of coverage -->
"""

import re
import sys
from pathlib import Path

import torch

from qdflow import coverage
from qdflow.problems import all_problems

MARKED = re.compile(r"(<!-- coverage -->\n).*?(<!-- end of coverage -->)", re.S)

(path,) = map(Path, sys.argv[1:])
if not MARKED.search(path.read_text(encoding="utf-8")):
    sys.exit(f"{path} has no marks <!-- coverage --> and <!-- end of coverage -->; put them in")
torch.set_num_threads(1)
rows = [coverage.COLUMNS, ["---"] * len(coverage.COLUMNS)]
for problem in all_problems():
    print(problem.name, flush=True)
    rows += map(coverage.row, coverage.measured(problem))
table = "".join("| " + " | ".join(cells) + " |\n" for cells in rows)
text = path.read_text(encoding="utf-8")
path.write_text(MARKED.sub(lambda mark: mark[1] + table + mark[2], text), encoding="utf-8")
