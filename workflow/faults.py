"""What a job cannot say of itself: that nobody may write its results, and what killed it."""

import os
import re
import signal
from pathlib import Path

# bash names the signal, or, where it has not replaced itself by the job, adds 128
_KILLED = re.compile(
    r"(\w+)\.py' (?:died with <Signals\.(\w+)|returned non-zero exit status (\d+))"
)


def unwritable(folder: str) -> str:
    """Why nothing can be written in ``folder``, which need not exist; empty if it can."""
    nearest = next(p for p in (Path(folder), *Path(folder).absolute().parents) if p.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        return ""
    return (
        f"{nearest} cannot be written, which is to hold the results; make it writable, or choose"
        " another folder as `results` in the configuration"
    )


def killed(log: str) -> list[str]:
    """A sentence for every job that a signal ended, from the text of snakemake's log."""
    found = []
    for script, name, status in _KILLED.findall(log):
        if signal_name := name or _name(int(status)):
            found.append(_sentence(script, signal_name))
    return found


def _name(status: int) -> str:
    try:
        return signal.Signals(status - 128).name
    except ValueError:  # it ended by itself, and said why
        return ""


def _sentence(script: str, name: str) -> str:
    if name == "SIGKILL":
        return (
            f"A job of {script} was killed (SIGKILL); if nobody did, memory ran out: run fewer at"
            " once (--cores) or take a smaller batch. The same command goes on."
        )
    return f"A job of {script} was ended from outside ({name}). The same command goes on."
