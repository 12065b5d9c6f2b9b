"""Contenders take turns on the same processors; what they did becomes rows of one long table."""

import json
import math
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.worker import affinity, environment

ROOT = Path(__file__).parents[1]
OURS = "qdflow"  # how the names of our contenders begin
COLUMNS = {
    "comparison": "1",
    "setting": "1",
    "contender": "1",
    "against": "1",
    "quantity": "1",
    "value": "as unit says",
    "low": "as unit says",
    "high": "as unit says",
    "unit": "1",
    "cores": "1",
    "note": "1",
    "versions": "1",
    "machine": "1",
    "date": "1",
}
FAILURE = "failure"
RATIO = "times as fast"  # the one that it is held against, than the contender
UNITS = {
    "seconds": "s",
    "set-up": "s",
    RATIO: "1",
    "fraction of the limit": "1",
    "float64 flops": "flop/s",
    "float32 flops": "flop/s",
    "copied bytes": "byte/s",
    "effective samples": "1/s",
    "E": "energy",
    "F": "energy",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """Who takes part.

    Attributes:
        name: begins with `OURS` if it is ours.
        make: module:function, as `benchmarks.worker` takes it.
        options: of the function.
        work: what a turn's ``seconds`` hold, by the name of a limit: 1e9 float64 flops, say.
        note: what a reader has to know.
    """

    name: str
    make: str
    options: Mapping[str, Any] = field(default_factory=dict)
    work: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


LIMITS = Contender("limit", "benchmarks.limits:limits")


@dataclass(frozen=True)
class Match:
    """What is compared in turns.

    Attributes:
        comparison, setting: for the table.
        contenders: in the order of their turns; ours are what the others are held against.
        cores: all may use the same ones, as far as the machine has them.
        rounds: turns of each, fewer if ``seconds`` are over.
        seconds: after which no round begins, once there were three.
        compared: a quantity of the turns.
        more: whether more of it is better.
        patience: seconds to wait for an answer.
        extra: rows that follow from those of the match.
    """

    comparison: str
    setting: str
    contenders: Sequence[Contender]
    cores: int = 2
    rounds: int = 7
    seconds: float = 60
    compared: str = "seconds"
    more: bool = False
    patience: float = 300
    extra: Callable[[list[Row]], list[Row]] = lambda _rows: []


class FailedError(RuntimeError):
    """A contender is out."""


class Worker:
    """A process of `benchmarks.worker`, and what it answered."""

    def __init__(self, contender: Contender, cpus: Sequence[int], patience: float) -> None:
        """Start it; `set_up` waits until it is ready."""
        self.contender, self.patience, self.turns = contender, patience, []
        self.versions: dict[str, str] = {}
        self.failure, self.summary, self.set_up_seconds = "", {}, math.nan
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.worker", contender.make),
                *(json.dumps(dict(contender.options)), json.dumps(list(cpus))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | environment(len(cpus)) | {"PYTHONPATH": os.pathsep.join(paths)},
            cwd=ROOT,
        )

    def set_up(self) -> None:
        """Wait for it; the time counts from its start."""
        start = time.perf_counter()
        answer = self._attempt(self._answer)
        self.set_up_seconds = time.perf_counter() - start
        self.versions = answer.get("versions", {})

    def turn(self) -> None:
        """Let it do what is measured; nothing happens if it is out."""
        if not self.failure and (answer := self._attempt(lambda: self._ask("turn"))):
            self.turns.append(answer)

    def end(self) -> None:
        """Take its summary."""
        if not self.failure:
            self.summary = self._attempt(lambda: self._ask("summary"))

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], self.patience)[0]:
            raise FailedError(f"no answer for {self.patience:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise FailedError(f"the process ended by itself with {self._process.wait()}")
        answer = json.loads(line)
        if FAILURE in answer:
            raise FailedError(answer[FAILURE])
        return answer

    def _attempt(self, action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return action()
        except (FailedError, OSError) as error:
            self.failure = str(error)
            self.stop()
            return {}


def play(match: Match, say: Callable[[str], None] = print) -> list[Row]:
    """The rows of a match: set-up, turns, ratios, fractions of the limits, and who failed."""
    cpus = affinity()[: match.cores]
    with ExitStack() as stack:
        workers = []
        for contender in match.contenders:  # one after the other: their set-up is measured too
            worker = Worker(contender, cpus, match.patience)
            stack.callback(worker.stop)
            worker.set_up()
            say(f"  {contender.name}: {worker.failure or f'{worker.set_up_seconds:.1f} s set-up'}")
            workers.append(worker)
        start = time.monotonic()
        for done in range(match.rounds):
            if done >= 3 and time.monotonic() - start > match.seconds:
                break
            for worker in workers:
                worker.turn()
        for worker in workers:
            worker.end()
    rows = _rows(match, workers, len(cpus))
    rows += match.extra(rows)
    for row in rows:
        if row["quantity"] in (match.compared, RATIO, FAILURE, "fraction of the limit"):
            say(f"  {_sentence(row)}")
    return rows


def row(like: Row, quantity: str, values: Sequence[float] = (math.nan,), **changed: Any) -> Row:
    """A row as another one, of another quantity: the median of the values, and their range.

    Args:
        like: that row.
        quantity: what it is.
        values: one a turn.
        changed: columns that differ.
    """
    return like | {
        "against": "",
        "quantity": quantity,
        "value": float(statistics.median(values)),
        "low": float(min(values)),
        "high": float(max(values)),
        "unit": UNITS.get(quantity, "1"),
        "note": "",
        **changed,
    }


def blank(comparison: str, setting: str, contender: str, cores: int, **columns: Any) -> Row:
    """A row that holds no quantity yet."""
    return dict.fromkeys(COLUMNS, "") | {
        "comparison": comparison,
        "setting": setting,
        "contender": contender,
        "cores": cores,
        "machine": machine(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **columns,
    }


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a table of `COLUMNS`."""
    return pd.DataFrame([{name: row[name] for name in COLUMNS} for row in rows])


def machine() -> str:
    """The model of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores"


def _rows(match: Match, workers: Sequence[Worker], cores: int) -> list[Row]:
    rows, limits = [], {}
    for worker in workers:
        if worker.contender == LIMITS and worker.turns:
            limits = {name: _median(worker, name) for name in worker.turns[0] if name in UNITS}
    for worker in workers:
        blanks = blank(match.comparison, match.setting, worker.contender.name, cores)
        blanks["versions"] = json.dumps(worker.versions)
        rows.append(row(blanks, "set-up", [worker.set_up_seconds]))
        for name in worker.turns[0] if worker.turns else ():
            rows.append(row(blanks, name, [t[name] for t in worker.turns]))
        rows += _summary(blanks, worker)
        rows += _fractions(blanks, worker, limits)
        for other in workers:
            if _ours(other) and not _ours(worker) and worker.contender != LIMITS:
                rows += _ratio(blanks, match, worker, other)
        if worker.failure:
            rows.append(row(blanks, FAILURE, note=worker.failure))
    for each in rows:
        note = next(c.note for c in match.contenders if c.name == each["contender"])
        each["note"] = each["note"] or note
    return rows


def _summary(blanks: Row, worker: Worker) -> list[Row]:
    """A summary holds value, low and high of a quantity, which replace those of the turns."""
    return [
        row(blanks, name) | dict(zip(("value", "low", "high"), three, strict=True))
        for name, three in worker.summary.items()
    ]


def _ratio(blanks: Row, match: Match, worker: Worker, ours: Worker) -> list[Row]:
    """Of turns of the same round, whose neighbours had the same machine."""
    name = match.compared
    pairs = [
        (theirs[name], own[name])
        for theirs, own in zip(worker.turns, ours.turns, strict=False)
        if name in theirs and name in own
    ]
    ratios = [b / a if match.more else a / b for a, b in pairs]
    return [row(blanks, RATIO, ratios, against=ours.contender.name)] if ratios else []


def _fractions(blanks: Row, worker: Worker, limits: Mapping[str, float]) -> list[Row]:
    found = []
    for name, amount in worker.contender.work.items():
        if name in limits and worker.turns:
            rates = [amount / turn["seconds"] for turn in worker.turns]
            found.append(row(blanks, f"rate of {name}", rates, unit=UNITS[name]))
            fractions = [rate / limits[name] for rate in rates]
            found.append(row(blanks, "fraction of the limit", fractions, against=name))
    return found


def _median(worker: Worker, name: str) -> float:
    return statistics.median(turn[name] for turn in worker.turns)


def _ours(worker: Worker) -> bool:
    return worker.contender.name.startswith(OURS)


def _sentence(row: Row) -> str:
    if row["quantity"] == FAILURE:
        return f"{row['contender']} failed: {row['note']}"
    against = f" ({row['against']})" if row["against"] else ""
    return (
        f"{row['contender']}: {row['quantity']}{against} {row['value']:.4g}"
        f" ({row['low']:.4g} to {row['high']:.4g}) {row['unit'].replace('1', '', 1)}".rstrip()
    )
