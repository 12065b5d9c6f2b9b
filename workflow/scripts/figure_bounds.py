"""F of flows from both sides: bounds and what they bracket, a row a flow, beside the exact F."""

from failures import sentences

from qdflow import plotting, tables
from qdflow.rungs import ladder, show_ladder
from qdflow.summary import COLUMNS

sentences(snakemake)
job = snakemake.params.job
summary = tables.read(snakemake.input.summary, "summarize", COLUMNS)
shown = ladder(summary, job["cells"], job["labels"])

with plotting.style():
    figure = show_ladder(shown, job["title"], {mark["label"]: mark["F"] for mark in job["marks"]})
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
