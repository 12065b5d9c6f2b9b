"""Densities before and after averaging over a group, and Monte Carlo, on one scale."""

from failures import sentences

from qdflow import plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 4), "averaged": True}

sentences(snakemake)
job = snakemake.params.job
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
first = shown.flows[0]
samples = [shown.before[0], *(flow.x for flow in shown.flows), shown.mc.x]
before = f"F = {first.pick('F_before')}" if first.is_bound else "no bound"
titles = [f"before: {before}\n{first.standing}"]
for flow in shown.flows:
    gain = f"\ngain {flow.pick('symmetry_gain')}" if flow.is_bound else f"\n{flow.standing}"
    titles.append(flow.title.split("\n")[0] + gain)

with plotting.style():
    figure, axes = plotting.figure(len(samples), job["title"])
    plotting.show_densities(axes, samples, [*titles, shown.mc.title])
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
