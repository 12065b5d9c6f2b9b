"""Put the pictures and numbers of finished runs into an album, each with a stamp of what made it.

Usage: gallery.py CONFIG.yaml [CONFIG.yaml ...] FOLDER

What the folder holds of other runs stays.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from qdflow import gallery, tables
from qdflow.provenance import code_hash

SCRIPTS = Path(__file__).parent
ORDER = ("the talk", "symmetry", "trust", "beyond the talk")


def commit() -> str:
    """Of this repository, with a + if it has changes; empty where there is no git."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        return name + "+" * bool(
            _git("status", "--porcelain", "--", "qdflow", "workflow", "config")
        )
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return run.stdout.strip()


if len(sys.argv) < 3:
    sys.exit(f"gallery.py got {sys.argv[1:]}; give it configurations that were run, and a folder")
*configs, album = map(Path, sys.argv[1:])
stamp = {"commit": commit()}
if stamp["commit"].endswith("+"):
    print(f"the code has changes that are in no commit, which the stamps say: {stamp['commit']}")
for path in configs:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    results = Path(config.get("results", "results"))
    # a run that is up to date was drawn by the code that is here
    figures = {
        name: spec | {"code": code_hash(SCRIPTS / f"figure_{spec['kind']}.py")}
        for name, spec in config["figures"].items()
    }
    try:
        gallery.put(results, path.stem, figures, stamp, album)
    except tables.TableError as error:
        sys.exit(f"{path} was not run to its end: {error}")
(album / "README.md").write_text(gallery.page(album, ORDER), encoding="utf-8")
