"""Densities before and after averaging over a group, and Monte Carlo, on one scale."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, plotting
from qdflow.panels import Panel, read_shown

FIGURE = {"flows": (1, 4), "averaged": True}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
first = shown.flows[0]


def gain(flow: Panel) -> str:
    """What averaging gained, or why that cannot be said."""
    return f"gain {flow.pick('symmetry_gain')}" if flow.is_bound else flow.standing


def draw() -> Figure:
    """A map before, one for each way to average, and the exact one."""
    samples = [shown.before[0], *(flow.x for flow in shown.flows), shown.mc.x]
    before = f"F = {first.pick('F_before')}" if first.is_bound else "no bound"
    titles = [f"before: {before}\n{first.standing}"]
    titles += [flow.title.split("\n")[0] + f"\n{gain(flow)}" for flow in shown.flows]
    figure, axes = plotting.figure(len(samples), job["title"])
    densities.show_densities(axes, samples, [*titles, shown.mc.title])
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
gains = captions.listed(f"{flow.label}: {gain(flow)}" for flow in shown.flows)
captions.write(
    f"""
    A density before and after it was averaged over a group of the plane, and the exact one:
    {shown.place}. Look for the symmetry of the trap, which averaging makes exact, and for spots
    that it only copies.

    What averaging gained in F, on the same samples: {gains}. {shown.gaps}
    """,
    out.caption,
)
