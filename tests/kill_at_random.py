"""Kill a small pipeline at random moments, and go on, until its summary is there: the same bits?

Usage: kill_at_random.py [KILLS [SEED]]

Every kill is a kill -9 of the job, of snakemake alone, or of both, and is followed by the command
that docs/operations.md names. Rounds follow each other until there were KILLS of them; whenever a
round gets to its end, its summary, without the rows of the clock, and its model are held against
those of a run that nobody disturbed.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from pipeline import QUICK, Pipeline, checkout, same

# training takes a few seconds, as long as all else together
PHASE = {"steps": 1000, "batch": 32, "learning_rate": 0.01}
CONFIG = QUICK | {"trainings": {"short": {"phases": [PHASE]}}}
WHOM = ("the job", "snakemake", "both")
LATEST = 10.0  # seconds after the start


def main(kills, seed):
    luck = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(checkout(Path(folder) / "qdflow"), CONFIG)
        pipeline.succeed()
        wanted = result(pipeline)
        done = rounds = 0
        while done < kills:
            shutil.rmtree(pipeline.results)
            done += disturbed(pipeline, luck, done, kills)
            rounds += 1
            if fault := difference(result(pipeline), wanted):
                sys.exit(f"seed {seed}, round {rounds}, after {done} kills: another {fault}")
    print(f"{done} kills with seed {seed} in {rounds} rounds: every end is the same bits")


def disturbed(pipeline, luck, before, most):
    """One round, with kills until it gets to its end; their number."""
    count = 0
    while True:
        moment = luck.uniform(0, LATEST) if before + count < most else None
        whom = luck.choice(WHOM)
        run = pipeline.start()
        try:
            status = run.wait(moment)
        except subprocess.TimeoutExpired:
            whom = kill(run, whom)
            count += 1
            print(f"{before + count}/{most}  {whom} after {moment:.2f} s", flush=True)
            pipeline.unlock()
            continue
        if status != 0:
            sys.exit(f"it did not go on after {before + count} kills:\n{pipeline.said()}")
        return count


def kill(run, whom):
    """Kill -9; where no job is running, of everything.  Says whom it hit."""
    snakemake = psutil.Process(run.pid)
    jobs = snakemake.children(recursive=True)
    whom = whom if jobs else "both"
    for process in {"the job": jobs, "snakemake": [snakemake]}.get(whom, [snakemake, *jobs]):
        with suppress(psutil.NoSuchProcess):  # it was about to end
            process.kill()
    run.wait(300)
    return whom


def result(pipeline):
    """What has to be the same."""
    model = pipeline.results / "flows/one/family/seed0/model.pt"
    return {"summary": pipeline.summary(), "model": model.read_bytes()}


def difference(found, wanted):
    """What is not the same; empty if all is."""
    if not same(found["summary"], wanted["summary"]):
        return "summary"
    return "" if found["model"] == wanted["model"] else "model"


if __name__ == "__main__":
    kills, seed = [*map(int, sys.argv[1:]), *(200, 0)[len(sys.argv) - 1 :]]
    start = time.monotonic()
    main(kills, seed)
    print(f"{time.monotonic() - start:.0f} s")
