"""The talk's slides of one flow against Monte Carlo: density maps and radial profiles."""

from qdflow import plotting
from qdflow.comparison import read_comparison

inputs = dict(snakemake.input.items())
del inputs["flow_history"]
shown = read_comparison(**inputs)

with plotting.style():
    figure, axes = plotting.figure(3, snakemake.params.job["title"])
    half = plotting.show_densities(axes[:2], shown.samples, shown.F, shown.names)
    profiles = [plotting.radial_profile(x, half) for x in shown.samples]
    plotting.show_profiles(axes[2], *profiles)
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
