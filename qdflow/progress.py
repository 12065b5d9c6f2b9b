"""What a long job shows: a live bar on a terminal, and plain lines in its log."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

_LINE_SECONDS = 10.0


@contextmanager
def progress(label: str, log: Path | None) -> Iterator[Callable[[int, int, str], None]]:
    """A function to call with (units done, their total, a line of news, empty to keep the last).

    The bar is one line, so that several jobs on one terminal take turns instead of tangling.
    The log gets a line every few seconds, at the start, and at the end or at an error.
    """
    lines = _logger(label, log)
    console = Console(file=sys.stderr)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(min_width=4)),
        TimeRemainingColumn(table_column=Column(min_width=7)),
        # the news give way where the terminal is narrow, not the time that is left
        TextColumn("{task.fields[news]}", table_column=Column(no_wrap=True, ratio=1)),
        console=console,
        transient=True,
        expand=True,
        refresh_per_second=2,
        disable=not console.is_terminal,
    )
    task = bar.add_task(label, total=None, news="")
    started = last = time.monotonic()
    shown, reported = "", False

    def report(done: int, total: int, news: str) -> None:
        nonlocal last, shown, reported
        shown = news or shown
        bar.update(task, completed=done, total=total, news=shown)
        now = time.monotonic()
        if now - last >= _LINE_SECONDS or done >= total or not reported:
            last, reported = now, True
            lines.info("%d/%d  %s  %.0f s", done, total, shown, now - started)

    lines.info("start")
    try:
        with bar:
            yield report
    except BaseException as error:
        lines.error("stopped: %s: %s", type(error).__name__, error)
        raise
    lines.info("done in %.0f s  %s", time.monotonic() - started, shown)


class _Lines(logging.FileHandler):
    """A log that cannot be written to, as on a full disk, must not hide why the job fails."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


def _logger(label: str, log: Path | None) -> logging.Logger:
    logger = logging.getLogger(f"qdflow.{label}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    if log is None:
        logger.addHandler(logging.NullHandler())
        return logger
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = _Lines(log, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s  %(name)s  %(message)s"))
    logger.addHandler(handler)
    return logger
