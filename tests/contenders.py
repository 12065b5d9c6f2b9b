"""Contenders that do next to nothing, for the tests of the harness."""

import os
import time

from benchmarks.worker import processors


def sleeper(seconds, log=None, who=""):
    """Sleeps; writes down whose turn it was."""

    def turn():
        if log:
            with open(log, "a") as file:
                file.write(f"{who}\n")
        time.sleep(seconds)
        return {"cpus": processors(), "threads": int(os.environ["OMP_NUM_THREADS"])}

    turn.summary = lambda: {"E": (1.0, 0.9, 1.1)}
    return turn


def counter(values):
    """Says these seconds, one after the other, and prints what is no answer."""
    left = iter(values)

    def turn():
        print("noise")
        return {"seconds": next(left)}

    return turn


def broken():
    """Cannot be set up."""
    raise ImportError("no module named that")


def later():
    """Fails at its second turn."""
    done = []

    def turn():
        done.append(1)
        if len(done) > 1:
            raise ArithmeticError("F is nan")
        return {"seconds": 1.0}

    return turn


def dies():
    """Ends without a word."""
    return lambda: os._exit(9)
