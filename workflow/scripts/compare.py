"""Say of each pair of cells by how much F of the one is lower, and whether that is chance."""

import pandas as pd
from failures import sentences

from qdflow import tables
from qdflow.comparison import COMPARISONS, compared
from qdflow.summary import COLUMNS, judged
from qdflow.train import HISTORY

sentences(snakemake)
job = snakemake.params.job
parts = [tables.read(path, "estimate or audit", COLUMNS) for path in snakemake.input.estimates]
estimates = judged(pd.concat(parts, ignore_index=True))
ends = [tables.read(path, "train", HISTORY).iloc[-1] for path in snakemake.input.histories]
work = pd.DataFrame(
    cell | {"step": end["step"], "seconds": end["seconds"]}
    for cell, end in zip(job["trained"], ends, strict=True)
).rename(columns={"name": "cell"})
rows = [compared(name, estimates, work, **spec) for name, spec in job["comparisons"].items()]
tables.write(pd.DataFrame(rows), snakemake.output[0], COMPARISONS, config=job)
