"""What is a Wigner molecule? Single configurations on the density, and all in one's frame."""

import numpy as np
from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, densities, molecules, plotting
from qdflow.panels import read_shown
from qdflow.stats import Estimate, iid_mean

FIGURE = {"flows": (1, 3), "electrons": 2}
MOST = 500  # configurations that are turned into the frame of one

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
shown = read_shown(**dict(snakemake.input.items()), labels=job["labels"])
panels = [shown.mc, *shown.flows]
template = shown.mc.x[np.argmin(shown.mc.energy)]
frames = [molecules.fitted(molecules.thinned(p.x, MOST), template) for p in panels]
spacing = molecules.spacing(template)


def disorder(frame: molecules.Fitted) -> Estimate:
    """How far electrons are from the template's, in units of its spacing."""
    return iid_mean(frame.misfit / spacing)


def draw() -> Figure:
    """The density with one configuration on it, and the density in the frame of one."""
    figure, upper, lower = plotting.twins(len(panels), job["title"])
    densities.show_densities(upper, [p.x for p in panels], [p.label for p in panels])
    for axis, panel in zip(upper, panels, strict=True):
        molecules.show_configuration(axis, panel.x[molecules.typical(panel.energy)])
    titles = [
        f"{panel.label}, turned: disorder {disorder(frame)}"
        for panel, frame in zip(panels, frames, strict=True)
    ]
    densities.show_densities(lower, [frame.x for frame in frames], titles)
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
said = captions.listed(f"{disorder(f)} ({p.label})" for p, f in zip(panels, frames, strict=True))
captions.write(
    f"""
    The density, and on it one configuration of typical energy: {shown.place}. The density is
    that of rings or a cloud, and no configuration looks like it: its electrons keep their
    distances, as the atoms of a molecule do, and only its orientation is open. Then the same for
    configurations that were turned, mirrored and relabelled to fit the one of lowest energy best:
    spots are a molecule, smears are a liquid. Look for flows whose spots are as sharp.

    The disorder is the root mean square distance of electrons from that configuration's, over the
    mean distance of its nearest neighbours, {spacing:.3f}; by Lindemann's rule a crystal
    melts at around 0.1 to 0.2. It is {said}.
    """,
    out.caption,
)
