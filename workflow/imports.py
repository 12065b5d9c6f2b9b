"""Which qdflow the pipeline runs, and with which Python."""

import os
import shlex
import sys
from pathlib import Path


def first_from(root: Path) -> None:
    """Import from ``root``, here and in all jobs, whatever else is installed.

    Jobs carry the hash of the code beside the Snakefile, so that is the code they have to run.
    """
    sys.path.insert(0, str(root))
    path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)


def python() -> str:
    """The path of this Python.

    Snakemake puts it into the commands of jobs as it stands, where a shell takes a space for the
    end of a word. So from here on `sys.executable` is what a shell reads as this path.
    """
    path = sys.executable
    if os.path.exists(path):  # not if quoted before
        sys.executable = shlex.quote(path)
        return path
    return shlex.split(path)[0]
