"""The talk's slides of one flow against Monte Carlo: density maps and radial profiles."""

from qdflow import plotting, tables
from qdflow.summary import COLUMNS, CONVERGED, pick

inputs = snakemake.input
flow = tables.read(inputs.flow_estimates, "estimate", COLUMNS)
mc = tables.read(inputs.mc_estimates, "reference", COLUMNS)
samples = [
    tables.positions(tables.read(inputs.flow_samples, "estimate", tables.SAMPLES)),
    tables.positions(tables.read(inputs.mc_samples, "reference", tables.SAMPLES)),
]
F, exact = pick(flow, "F"), pick(mc, "F")
converged = mc["verdict"].iloc[0] == CONVERGED
names = ["flow", "Monte Carlo" if converged else "Monte Carlo (not converged)"]

with plotting.style():
    figure, axes = plotting.figure(3, snakemake.params.job["title"])
    half = plotting.show_densities(axes[:2], samples, [F, exact], names)
    plotting.show_profiles(axes[2], *(plotting.radial_profile(x, half) for x in samples))
    for path in (snakemake.output.pdf, snakemake.output.png):
        plotting.save(figure, path)
