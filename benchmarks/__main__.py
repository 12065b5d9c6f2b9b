"""Run comparisons: python -m benchmarks [--quick] [--results FOLDER] [COMPARISON ...].

Each that ran replaces its rows in FOLDER/benchmarks.parquet; then the figures are drawn and the
tables in docs/performance.md filled. The exit code says whether a contender failed.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from benchmarks import draw, page
from benchmarks.harness import COLUMNS, FAILURE, ROOT, Row, blank, frame, play, row
from qdflow import tables

NAMES = (
    *("train_step", "layers", "monte_carlo", "reference"),
    *("time_to_target", "start_up", "scaling"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, or all; 1 if a contender failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="COMPARISON", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no comparison is called {unknown[0]}; choose from {', '.join(NAMES)}")
    table = options.results / "benchmarks.parquet"
    failed = False
    for name in options.names or NAMES:
        found: list[Row] = []
        for rows in _played(name, options.quick):
            found += rows
            store(found, table, options.quick)
        failed |= any(each["quantity"] == FAILURE for each in found)
    everything = tables.read(table, "make bench", COLUMNS)
    draw.figures(everything, options.results / "figures")
    if not options.quick:
        page.fill(everything, ROOT / "docs/performance.md", options.results / "figures")
    print(f"{table}, and figures beside it")
    return int(failed)


def store(rows: Sequence[Row], path: Path, quick: bool = False) -> None:
    """Put rows in place of those of the same comparisons."""
    new = frame(rows)
    if path.exists():
        old = tables.read(path, "make bench", COLUMNS)
        old = old[~old["comparison"].isin(new["comparison"])]
        new = pd.concat([old, new], ignore_index=True) if len(old) else new
    path.parent.mkdir(parents=True, exist_ok=True)
    tables.write(new, path, COLUMNS, {"quick": quick})


def _played(name: str, quick: bool) -> Iterator[list[Row]]:
    """The rows of each match; of one that cannot be played, that it failed."""
    try:
        for match in import_module(f"benchmarks.{name}").matches(quick):
            print(f"{name}, {match.setting}", flush=True)
            start = time.monotonic()
            yield play(match, lambda text: print(text, flush=True))
            print(f"  {time.monotonic() - start:.0f} s", flush=True)
    except Exception as error:
        traceback.print_exc()
        sentence = f"{type(error).__name__}: {error}".splitlines()[0]
        yield [row(blank(name, "", "all", 0), FAILURE, note=sentence)]


if __name__ == "__main__":
    sys.exit(main())
