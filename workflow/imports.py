"""Which qdflow the pipeline runs."""

import os
import sys
from pathlib import Path


def first_from(root: Path) -> None:
    """Import from ``root``, here and in all jobs, whatever else is installed.

    Jobs carry the hash of the code beside the Snakefile, so that is the code they have to run.
    """
    sys.path.insert(0, str(root))
    path = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
