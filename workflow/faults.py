"""What a job cannot say itself: that nobody may write its results, and what killed it."""

import re
import signal

# bash names the signal, or, where it has not replaced itself by the job, adds 128
_KILLED = re.compile(
    r"(\w+)\.py' (?:died with <Signals\.(\w+)|returned non-zero exit status (\d+))"
)


def unwritable(folder: str, error: OSError) -> str:
    """What to do where not even the plan of a run can be written."""
    return (
        f"the folder of results, {folder}, cannot be written ({error.strerror or error}); make it"
        " writable, make room, or choose another as `results` in the configuration"
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
