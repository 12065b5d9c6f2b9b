"""The talk's slides of one flow against Monte Carlo: density maps and radial profiles."""

from qdflow import plotting, tables
from qdflow.summary import COLUMNS, pick

inputs = snakemake.input
F = pick(tables.read(inputs.flow_estimates, "estimate", COLUMNS), "F")
exact = pick(tables.read(inputs.mc_estimates, "reference", COLUMNS), "F")
samples = [
    tables.positions(tables.read(inputs.flow_samples, "estimate", tables.SAMPLES)),
    tables.positions(tables.read(inputs.mc_samples, "reference", tables.SAMPLES)),
]

figure, axes = plotting.figure(3, snakemake.params.job["title"])
half = plotting.extent(*samples)
plotting.show_densities(
    axes[:2],
    [plotting.density_map(x, half) for x in samples],
    [f"flow: F = {F}", f"Monte Carlo: F = {exact}"],
    half,
)
plotting.show_profiles(axes[2], *(plotting.radial_profile(x, half) for x in samples))
for path in (snakemake.output.pdf, snakemake.output.png):
    plotting.save(figure, path)
