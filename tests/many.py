"""A configuration of many small cells, to see how long their plan takes and that they all run.

Usage: many.py CELLS FILE
"""

import sys
from pathlib import Path
from typing import Any

import yaml

SEEDS, WIDTHS = 5, 10  # of every beta: 50 cells


def config(cells: int) -> dict[str, Any]:
    """So many cells of two electrons: widths, seeds and as many beta as it takes.

    Raises:
        ValueError: not a multiple of the cells of one beta.
    """
    each = SEEDS * WIDTHS
    if cells <= 0 or cells % each:
        raise ValueError(f"{cells} cells cannot be had; take a multiple of {each}")
    beta = [round(1 + 0.5 * k, 1) for k in range(cells // each)]
    widths = range(4, 4 + WIDTHS)
    return {
        "results": f"results/many-{cells}",
        "systems": {"dot-2": {"n": 2, "trap": "harmonic"}},
        "references": [{"system": "dot-2", "beta": beta}],
        "reference": {"ladders": 4, "stderr_F": 0.05, "stderr_E": 0.05, "keep": 500},
        "architectures": {f"mlp-{w}": {"flow": "mlp", "hidden": [w, w]} for w in widths},
        "trainings": {
            "short": {"phases": [{"steps": 20, "batch": 64, "learning_rate": 0.01, "decay": 0.1}]}
        },
        "cells": {
            f"mlp-{w}": {
                "system": "dot-2",
                "architecture": f"mlp-{w}",
                "beta": beta,
                "training": "short",
                "seeds": list(range(SEEDS)),
            }
            for w in widths
        },
        "estimate": {"samples": 2000, "keep": 500},
        "audit": {"samples": 200, "preimages": 10, "starts": 2},
        "bounds": {"samples": 200},
        "figures": {
            "bounds": {
                "kind": "bounds",
                "flows": [{"cell": f"mlp-{w}", "beta": beta[0]} for w in widths],
            }
        },
    }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(yaml.safe_dump(config(int(sys.argv[1])), sort_keys=False))
