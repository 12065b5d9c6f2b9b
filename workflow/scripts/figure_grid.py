"""What the map does to the plane: lines of one electron's z, bent into x."""

import numpy as np
from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, plotting, tables, warped

FIGURE = {"flows": (1, 3), "inputs": {"grids": "flow/grid"}}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
grids = [tables.read(path, "grid", tables.GRID) for path in snakemake.input.grids]


def draw() -> Figure:
    """z, and x."""
    figure, before, after = plotting.twins(len(grids), job["title"])
    for table, label, z, x in zip(grids, job["labels"], before, after, strict=True):
        for axis, column in ((z, "z"), (x, "x")):
            warped.show_grid(axis, table, column)
            axis.set_title(f"{label}: {column}", fontsize=plotting.scaled(14))
    figure.legend(*before[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
said = captions.listed(
    f"{np.quantile(factor, 0.05):.2f} to {np.quantile(factor, 0.95):.2f} ({label})"
    for label, factor in zip(job["labels"], map(warped.stretch, grids), strict=True)
)
captions.write(
    f"""
    Lines in the plane of one electron's z, and where the map brings them while the z of all others
    stay: dots are the others, the star is the electron where it is in a sample of typical energy.
    A plain network bends the plane smoothly, into the place of one electron. A map that treats
    electrons alike has to make room wherever another one is: lines are pushed aside around the
    dots, and that is the Coulomb hole. Lines that cross themselves are no contradiction, as the
    others move along; that the whole map does not fold is what the audit looks at.

    Pieces of lines are stretched by factors of {said}, for nine out of ten.
    """,
    out.caption,
)
