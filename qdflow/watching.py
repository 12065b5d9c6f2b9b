"""How far a run is, from the folder of its results: its plan, its logs and its tables.

Nothing is written, and what is missing or half-written counts as not there yet: it may be looked
at while jobs on other machines write.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from qdflow import tables
from qdflow.stats import Estimate
from qdflow.summary import COLUMNS, is_bound, judged, pick

PLAN = "plan.json"
LONGEST_LINE = 500  # of a log; its end is all that is read
SILENT = 300.0  # seconds without a line, after which a job is taken for dead
_LINE = re.compile(
    r"(?P<time>[-\d]{10} [\d:]{8}),\d+  qdflow\..*?  (?:"
    r"(?P<start>start)|(?P<done>\d+)/(?P<total>\d+)  (?P<news>.*?)  (?P<seconds>\d+) s"
    r"|(?P<end>done) in \d+ s  (?P<last>.*)|stopped: (?P<why>.*))$"
)
_RESUMED = "resumed at"  # what the first line of such a training says
_BOUND = re.compile(r"F < (-?[\d.]+)")


class PlanError(RuntimeError):
    """There is no run to look at."""


class Job(NamedTuple):
    """What the log of one job says.

    Attributes:
        state: running, done, failed, or silent if nothing was heard of it for a while.
        done: units of work.
        total: of them; 0 as long as nobody knows.
        news: the last there was, or why it failed.
        pace: seconds for a unit in this attempt; 0 as long as nobody knows.
    """

    state: str
    done: int = 0
    total: int = 0
    news: str = ""
    pace: float = 0.0

    @property
    def left(self) -> float | None:
        """Seconds until it is done, if it goes on at this pace."""
        known = self.state == "running" and self.pace and self.done < self.total
        return self.pace * (self.total - self.done) if known else None


class Row(NamedTuple):
    """One reference or one cell at a beta.

    Attributes:
        name: of the system of a reference, or of the cell.
        beta: in its spelling as a path.
        seed: empty for a reference.
        state: queued, waiting between two of its jobs, the rule that is at work, done, failed, or
            silent.
        job: that it is about; None if it is queued or done.
        F: an estimate with its error, or the bound of the training so far without one.
        exact: F of its reference; None as long as there is none.
        is_refuted: whether its map folds, so that F bounds nothing.
    """

    name: str
    beta: str
    seed: str
    state: str
    job: Job | None
    F: Estimate | None
    exact: Estimate | None
    is_refuted: bool = False


def rows(folder: Path, now: datetime) -> list[Row]:
    """The state of all that a run is to compute.

    Args:
        folder: of the results.
        now: in local time, as the logs are.

    Raises:
        PlanError: no run has left its plan there.
    """
    plan = _plan(folder)
    exact = {
        (one["system"], one["beta"]): _said(folder / one["tables"][-1]).F
        for one in plan["references"]
    }
    found = [
        _row(folder, one, one["system"], "", exact[one["system"], one["beta"]], None, now)
        for one in plan["references"]
    ]
    for one in plan["cells"]:
        said = [_said(folder / table) for table in one["tables"]]
        F = next((one.F for one in said if one.F), None)
        held = exact.get((one["system"], one["beta"]))
        row = _row(folder, one, one["cell"], str(one["seed"]), F, held, now)
        found.append(row._replace(is_refuted=any(one.is_refuted for one in said)))
    return found


def estimates(folder: Path, cell: str) -> pd.DataFrame:
    """All numbers that there are so far of a cell at its betas, and of its references.

    Args:
        folder: of the results.
        cell: its name.

    Returns:
        Rows of the long table, each flow with the last word on it as its verdict; none if none of
        its tables is whole.

    Raises:
        PlanError: no run has left its plan there.
    """
    plan = _plan(folder)
    cells = [one for one in plan["cells"] if one["cell"] == cell]
    places = {(one["system"], one["beta"]) for one in cells}
    held = [one for one in plan["references"] if (one["system"], one["beta"]) in places]
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for table in (table for one in [*held, *cells] for table in one["tables"]):
        with suppress(tables.TableError):
            parts.append(tables.read(folder / table, "estimate", COLUMNS))
    return judged(pd.concat(parts[1:] or parts, ignore_index=True))


def cells(folder: Path) -> set[str]:
    """The names of all cells that a run is to compute.

    Raises:
        PlanError: no run has left its plan there.
    """
    return {one["cell"] for one in _plan(folder)["cells"]}


def read_log(path: Path, now: datetime) -> Job | None:
    """The job that wrote this log, None if there is no line of it yet."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20 * LONGEST_LINE))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    known = [(k, match) for k, line in enumerate(lines) if (match := _LINE.match(line))]
    if not known:
        return None
    last, match = known[-1]
    if match["end"]:
        return Job("done", news=match["last"])
    spoken = [line for line in lines[last + 1 :] if line.strip()]  # the sentence it ended with
    if match["why"] is not None or spoken:
        return Job("failed", news=spoken[-1] if spoken else match["why"])
    silent = max((now - datetime.fromisoformat(match["time"])).total_seconds(), 0.0)
    state = "silent" if silent > SILENT else "running"
    if match["start"]:
        return Job(state)
    pace = _pace([match for _, match in known], silent)
    return Job(state, int(match["done"]), int(match["total"]), match["news"], pace)


def _pace(lines: list[re.Match[str]], silent: float) -> float:
    """Seconds for a unit, by the lines of this attempt that are at hand; 0 if that is too few.

    An attempt that was resumed begins with units that an earlier one has done.
    """
    attempt = list(takewhile(lambda match: match["done"], reversed(lines)))
    (done, seconds), (first, began) = (
        (int(match["done"]), int(match["seconds"])) for match in (attempt[0], attempt[-1])
    )
    if done > first:
        return (seconds + silent - began) / (done - first)
    return 0.0 if _RESUMED in attempt[0]["news"] else (seconds + silent) / max(done, 1)


def _row(
    folder: Path,
    planned: Mapping[str, Any],
    name: str,
    seed: str,
    F: Estimate | None,
    exact: Estimate | None,
    now: datetime,
) -> Row:
    place = (name, planned["beta"], seed)
    there = [_are_there(folder, step) for step in planned["steps"].values()]
    if all(there):
        return Row(*place, "done", None, F, exact)
    jobs = {rule: read_log(folder / step["log"], now) for rule, step in planned["steps"].items()}
    if not F and (training := jobs.get("train")) and not _is_of_a_family(planned):
        F = _so_far(training)
    left = {
        rule: job for (rule, job), done in zip(jobs.items(), there, strict=True) if job and not done
    }
    for state in ("failed", "running", "silent"):
        for rule, job in left.items():
            if job.state == state:
                return Row(*place, rule if state == "running" else state, job, F, exact)
    return Row(*place, "waiting" if any(there) else "queued", None, F, exact)


def _is_of_a_family(planned: Mapping[str, Any]) -> bool:
    """Whether its training is that of a family, whose bound is a mean over temperatures."""
    return Path(planned["steps"]["train"]["log"]).parent.name == "family"


def _are_there(folder: Path, step: Mapping[str, Any]) -> bool:
    return all((folder / output).is_file() for output in step["outputs"])


def _so_far(job: Job) -> Estimate | None:
    found = _BOUND.search(job.news)
    return Estimate(float(found[1]), float("nan"), 0.0) if found else None


class _Said(NamedTuple):
    """What a table says of F, if it does, and whether it refutes the flow."""

    F: Estimate | None = None
    is_refuted: bool = False


def _said(path: Path) -> _Said:
    """By a table of estimates or of an audit; nothing by others, and by one that is not there."""
    if path.name not in ("estimates.parquet", "audit.parquet"):
        return _Said()
    try:
        status = path.stat()
    except OSError:
        return _Said()
    return _read(path, status.st_mtime_ns, status.st_size)


@cache
def _read(path: Path, _changed: int, _size: int) -> _Said:
    """Read once, as long as the file stays as it is: there may be a thousand of them."""
    try:
        rows = tables.read(path, "estimate", COLUMNS)
        F = pick(rows, "F") if path.name == "estimates.parquet" else None
    except (tables.TableError, ValueError):
        return _Said()
    return _Said(F, not is_bound(rows))


def _plan(folder: Path) -> dict[str, Any]:
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise PlanError(
            f"{folder} holds no {PLAN}, which a run writes when it starts; name the folder of a"
            " run's results, `results` in its configuration"
        ) from None
    except (OSError, ValueError) as error:
        raise PlanError(f"{folder / PLAN} cannot be read ({error}); start the run again") from None
    if not isinstance(plan, dict) or not {"references", "cells"} <= set(plan):
        raise PlanError(f"{folder / PLAN} holds no plan of a run; start the run again")
    return plan
