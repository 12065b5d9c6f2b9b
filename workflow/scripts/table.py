"""All estimates as a page that can be searched."""

from failures import sentences

from qdflow import pages, tables
from qdflow.summary import COLUMNS

sentences(snakemake)
summary = tables.read(snakemake.input[0], "summarize", COLUMNS)
pages.write(summary, snakemake.params.job["title"], snakemake.output[0])
