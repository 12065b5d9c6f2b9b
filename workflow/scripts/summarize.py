"""Gather all estimates in one long table."""

import pandas as pd
from failures import sentences

from qdflow import tables
from qdflow.summary import COLUMNS, judged

sentences(snakemake)
parts = [tables.read(path, "reference or estimate", COLUMNS) for path in snakemake.input]
summary = pd.concat(parts, ignore_index=True)
order = ["system", "beta", "architecture", "cell", "seed"]
summary = summary.sort_values(order, kind="stable", ignore_index=True)
tables.write(judged(summary), snakemake.output[0], COLUMNS, config=snakemake.params.job)
