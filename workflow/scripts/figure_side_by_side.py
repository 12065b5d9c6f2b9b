"""Density maps of Monte Carlo and of flows, side by side with their F."""

from failures import sentences

from qdflow import plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 6)}

sentences(snakemake)
job = snakemake.params.job
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
panels = [shown.mc, *shown.flows]

with plotting.style():
    figure, axes = plotting.figure(len(panels), job["title"])
    plotting.show_densities(axes, [p.x for p in panels], [p.title for p in panels])
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
