"""What the profile `slurm` finds out of the cluster it is used on."""

import re
import subprocess
from collections.abc import Callable, Mapping

STATUS = "QDFLOW_SLURM_STATUS"


def status_command(environ: Mapping[str, str], show: Callable[[], str] | None = None) -> str:
    """How to ask for the state of a job: `sacct` where the cluster keeps accounts, else `squeue`.

    `sacct` may be installed where no accounts are kept. Then it knows of no job, and who asks it
    waits for ever.

    Args:
        environ: QDFLOW_SLURM_STATUS has the last word.
        show: gives the cluster's settings, as `scontrol show config` does.

    Raises:
        ValueError: QDFLOW_SLURM_STATUS is something else.
    """
    if wanted := environ.get(STATUS):
        if wanted not in ("sacct", "squeue"):
            raise ValueError(f"{STATUS} is {wanted!r}; choose from sacct, squeue")
        return wanted
    kept = re.search(r"^AccountingStorageType\s*=\s*(\S+)", (show or _settings)(), re.M)
    return "squeue" if kept and kept[1] in ("accounting_storage/none", "(null)") else "sacct"


def whole(name: str, default: int, environ: Mapping[str, str]) -> int:
    """QDFLOW_SLURM_NAME, a whole number from 1 up; the default where it is unset or empty.

    Raises:
        ValueError: it is something else.
    """
    text = environ.get(f"QDFLOW_SLURM_{name}") or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"QDFLOW_SLURM_{name} is {text!r}; it must be a whole number from 1 up")
    return int(text)


def _settings() -> str:
    try:
        command = ["scontrol", "show", "config"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
