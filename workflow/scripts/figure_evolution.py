"""A density along the training of its flow, frame by frame."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, evolution, plotting

FIGURE = {
    "flows": (1, 1),
    "inputs": {
        "flow_frames": "flow/frames",  # of which a film is made as well
        "mc_samples": "reference/samples",
        "mc_estimates": "reference/estimates",
    },
}
MOST = 6  # frames side by side

sentences(snakemake)
job, out, inputs = snakemake.params.job, snakemake.output, snakemake.input
(path,) = inputs.flow_frames
of = evolution.read(path, inputs.mc_samples, inputs.mc_estimates)


def draw() -> Figure:
    """Frames, Monte Carlo, and F at all of them."""
    shown = evolution.some(of.frames, MOST)
    figure, axes = plotting.figure(4, job["title"], axes=len(shown) + 2)
    evolution.show_frames(axes[:-1], shown, of.x, of.half)
    evolution.show_path(axes[-1], of, len(of.frames) - 1)
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
known = evolution.some([frame for frame in of.frames if frame.F], 4)
said = captions.listed(f"{frame.F.minus(of.exact)} after step {frame.step}" for frame in known)
captions.write(
    f"""
    How a flow finds the density of n = {of.n} electrons at β = {of.beta:g}: samples at some steps
    of its training, all from the same random numbers, beside Monte Carlo. Look at where it
    starts, how electrons find places of their own, and how these places then spread to the density
    that they have together. A film of it is beside this figure.

    F is above the exact {of.exact} by {said}. A flow that covers one relabelling of the electrons
    cannot come closer than {of.floor - of.exact.mean:.3f}.
    """,
    out.caption,
)
