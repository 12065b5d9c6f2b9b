"""How a job ends that cannot go on: in a sentence, on the terminal and in its log.

The scripts import this and the package does not, so that a sentence that reads better reruns
nothing.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

# SLURM's and a cloud's notice, the terminal's Ctrl-C, what sbatch --signal=USR1 asks for
NOTICES = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_OUT_OF_MEMORY = ("can't allocate memory", "Cannot allocate memory", "out of memory", "bad_alloc")


def sentences(snakemake: Any) -> None:
    """From now on an error that can be foreseen ends this job in a sentence.

    Any other keeps its traceback; the log has both. The job also ends soon after snakemake, if
    that is killed: its outputs would be taken for incomplete and made a second time.
    """
    label = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    folder = Path(snakemake.output[0]).parent
    log = Path(snakemake.log[0])

    def tell(_: type[BaseException], error: BaseException, _where: TracebackType | None) -> None:
        text = explained(error, folder)
        text = f"{label}: {text}" if text else "".join(traceback.format_exception(error))
        print(text.rstrip(), file=sys.stderr, flush=True)
        _append(log, text.rstrip())

    sys.excepthook = tell
    end_with_parent(lambda: _append(log, f"{label}: stopped, as snakemake was killed"))


def explained(error: BaseException, folder: Path) -> str:
    """What happened, and what to do; empty if nobody foresaw it.

    Args:
        error: that ends the job.
        folder: of the job's outputs.
    """
    if type(error).__module__.partition(".")[0] == "qdflow" or _is_refusal(error):
        return str(error)  # a sentence already
    if isinstance(error, OSError) and error.errno in _FULL:
        return (
            f"no space is left for {folder} ({_free(folder)} free: {error}); make room, and run"
            " the same command again: what is finished stays"
        )
    if isinstance(error, OSError) and error.errno in _READ_ONLY:
        return (
            f"{error.filename or folder} cannot be written ({error.strerror}); make it writable,"
            " or choose another folder as `results` in the configuration"
        )
    if isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY):
        return (
            f"out of memory ({_first_line(error)}); run fewer jobs at once (--cores), take a"
            " smaller batch or fewer samples in the configuration, or a machine with more"
        )
    if isinstance(error, KeyboardInterrupt):
        return "stopped by SIGINT; the same command makes it again"
    return ""


@contextmanager
def stopping() -> Iterator[Callable[[], str]]:
    """Inside, a notice to end stops nothing; the function names the one that came, if any."""
    came: list[str] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(signal.Signals(number).name)

    # what is ignored (nohup, a job in the background) is to stay so
    heard = [s for s in NOTICES if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, note) for s in heard}
    try:
        yield lambda: came[0] if came else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent(last_words: Callable[[], None], seconds: float = 1.0) -> None:
    """Send this process SIGTERM once the one that started it is gone, looked at every ``seconds``.

    A shell between the two does not count: it would wait for us.
    """
    parent, starter = os.getppid(), _starter(os.getppid())

    def watch() -> None:
        while os.getppid() == parent and _is_alive(starter):
            time.sleep(seconds)
        last_words()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _starter(parent: int) -> int:
    """The parent, or the parent's own if that is a shell."""
    try:
        command = ["ps", "-o", "ppid=,comm=", "-p", str(parent)]
        above, name = subprocess.run(command, capture_output=True, text=True).stdout.split()
    except (OSError, ValueError):  # no ps here, or a name with spaces: no shell's
        return parent
    return int(above) if Path(name).name in ("bash", "sh", "dash", "zsh") else parent


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_refusal(error: BaseException) -> bool:
    """Whether a line of qdflow raised it on purpose, as it refuses what it was given."""
    if not isinstance(error, ValueError | ArithmeticError) or error.__traceback__ is None:
        return False
    *_, last = traceback.extract_tb(error.__traceback__)
    package = Path(__file__).resolve().parents[2] / "qdflow"
    ours = Path(last.filename).resolve().is_relative_to(package)
    return ours and (last.line or "").startswith("raise ")


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e6:.1f} MB"
    except OSError:
        return "nobody knows how much"


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _append(log: Path, text: str) -> None:
    with suppress(OSError), log.open("a", encoding="utf-8") as file:  # the disk may be what failed
        file.write(text + "\n")
