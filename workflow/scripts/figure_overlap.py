"""The log weights of a flow's samples: how far q is from p, and who carries the weight."""

import numpy as np
from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, overlap, plotting
from qdflow.panels import read_shown
from qdflow.stats import Estimate, iid_mean

FIGURE = {"flows": (1, 6)}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
exact = shown.mc.pick("F")
ratios = [overlap.log_ratio(p.energy, p.log_q, shown.beta, exact.mean) for p in shown.flows]


def draw() -> Figure:
    """Histograms on the left, who carries the weight on the right."""
    labels = [p.label for p in shown.flows]
    figure, axes = plotting.figure(2, job["title"])
    edges = overlap.common_edges(ratios)
    overlap.show_histograms(axes[0], [overlap.histogram(r, edges) for r in ratios], labels)
    axes[0].set_title("solid: samples of q; dashed: of p, by weight")
    overlap.show_carried(axes[1], ratios, labels)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def half(ratio: np.ndarray) -> str:
    """How many of the heaviest samples carry half of the weight."""
    return str(1 + int(np.searchsorted(overlap.carried(ratio)[1], 0.5)))


def said(label: str, ratio: np.ndarray, ess: Estimate) -> str:
    """The numbers of one flow."""
    share = Estimate(100 * ess.mean, 100 * ess.stderr, ess.ess)
    return (
        f"{label}: the mean of ln(p/q) is {iid_mean(ratio)}, half of the weight is carried by"
        f" {half(ratio)} of {len(ratio)} samples, and the effective share is {share} %"
    )


plotting.publish(draw, [out.pdf, out.png], [out.column])
lines = "; ".join(
    said(p.label, ratio, p.pick("ess")) for p, ratio in zip(shown.flows, ratios, strict=True)
)
captions.write(
    f"""
    The logarithm of the weights p/q of each flow's samples, with the exact F: {shown.place}. A
    perfect flow has all of them at 0. Dashed lines weigh the samples with p/q, and say where those
    of p are: where they go on rising at the right end, q has no samples where p has most. On the
    right, how few samples carry the weight; a perfect flow is on the dashed line.

    {lines}.
    """,
    out.caption,
)
