"""The talk's slides of one flow against Monte Carlo: density maps and radial profiles."""

from failures import sentences

from qdflow import plotting
from qdflow.panels import read_shown

FIGURE = {"flows": (1, 1)}

sentences(snakemake)
job = snakemake.params.job
shown = read_shown(**dict(snakemake.input.items()), labels=["flow"])
panels = [*shown.flows, shown.mc]

with plotting.style():
    figure, axes = plotting.figure(3, job["title"])
    half = plotting.show_densities(axes[:2], [p.x for p in panels], [p.title for p in panels])
    profiles = [plotting.radial_profile(p.x, half) for p in (shown.mc, *shown.flows)]
    plotting.show_profiles(axes[2], profiles, ["Monte Carlo", "flow"])
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
