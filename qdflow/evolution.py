"""A density along the training of its flow: frames, and a film of them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from qdflow import tables
from qdflow.densities import density_map, extent
from qdflow.files import atomic
from qdflow.plotting import EXACT, FILM, FLOOR, FLOW, MAP, scaled, style
from qdflow.stats import Estimate, iid_mean
from qdflow.summary import COLUMNS, pick

Array = NDArray[np.float64]
COLOURS, SECONDS = 96, 0.7  # of a film's frame


class Frame(NamedTuple):
    """A flow at one step of its training.

    Attributes:
        step: 0 before the first.
        x: (size, n, 2) samples.
        F: of them; None if an energy or density is not finite.
    """

    step: int
    x: Array
    F: Estimate | None

    @property
    def title(self) -> str:
        """Its step and F."""
        return f"step {self.step}\n{f'F = {self.F}' if self.F else 'no F'}"


class Evolution(NamedTuple):
    """All frames of a training, beside its reference.

    Attributes:
        n, beta: of the system.
        exact: F of the reference.
        floor: where a perfect flow ends that covers one relabelling of the electrons.
        frames: in the order of their steps.
        x: (size, n, 2) of the reference.
    """

    n: int
    beta: float
    exact: Estimate
    floor: float
    frames: list[Frame]
    x: Array

    @property
    def half(self) -> float:
        """Half the side of all maps."""
        return extent(self.x, self.frames[-1].x)


def read(frames: Path | str, mc_samples: Path | str, mc_estimates: Path | str) -> Evolution:
    """From the tables.

    Raises:
        TableError: one of them is missing or damaged.
    """
    estimates = tables.read(mc_estimates, "reference", COLUMNS)
    first, exact = estimates.iloc[0], pick(estimates, "F")
    n, beta = int(first["n"]), float(first["beta"])
    x = tables.positions(tables.read(mc_samples, "reference", tables.SAMPLES))
    found = framed(tables.read(frames, "frames", tables.FRAMES), beta)
    return Evolution(n, beta, exact, exact.mean + math.lgamma(n + 1) / beta, found, x)


def framed(table: pd.DataFrame, beta: float) -> list[Frame]:
    """The frames of a table with the columns of `tables.FRAMES`, in the order of their steps."""
    found = []
    for step, rows in table.groupby("step"):
        F = rows["energy"].to_numpy() + rows["log_q"].to_numpy() / beta
        known = iid_mean(F) if np.isfinite(F).all() else None
        found.append(Frame(int(str(step)), tables.positions(rows), known))
    return found


def some(frames: Sequence[Frame], most: int) -> list[Frame]:
    """At most as many, evenly chosen, the first and the last among them."""
    chosen = np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int)
    return [frames[k] for k in dict.fromkeys(chosen.tolist())]


def show_path(axis: Axes, of: Evolution, now: int) -> None:
    """F above exact at all frames, the one of number ``now`` marked.

    Both axes are logarithmic; the start, before step 1, is drawn at 1/2.
    """
    known = [frame for frame in of.frames if frame.F]
    steps = [max(frame.step, 0.5) for frame in known]
    gaps = [frame.F.minus(of.exact) for frame in known if frame.F]
    above, errors = ([getattr(gap, part) for gap in gaps] for part in ("mean", "stderr"))
    axis.errorbar(steps, above, errors, fmt="o-", color=FLOW, ms=scaled(5), capsize=scaled(3))
    axis.axhline(of.floor - of.exact.mean, color=FLOOR, ls="--", label="floor: ln(n!)/β")
    here = of.frames[now]
    if here.F:
        place = [max(here.step, 0.5)], [here.F.minus(of.exact).mean]
        axis.plot(*place, "o", color=EXACT, ms=scaled(12))
    axis.set(xscale="log", yscale="log", xlabel="training step")
    axis.set_ylabel("F - exact F  [trap energy]")
    axis.legend(loc="best")


def show_frames(axes: Sequence[Axes], frames: Sequence[Frame], x: Array, half: float) -> None:
    """The density of each frame, and of the reference's x (size, n, 2) at last.

    Early ones may be denser than any later: the scale is that of the reference and of the end.
    """
    maps = [density_map(one, half) for one in [*(frame.x for frame in frames), x]]
    norm = _norm(maps[-2:])
    titles = [frame.title for frame in frames] + ["Monte Carlo"]
    for axis, density, title in zip(axes, maps, titles, strict=True):
        _show(axis, density, half, norm)
        axis.set_title(title, fontsize=scaled(14))


def film(of: Evolution, title: str, path: Path | str) -> None:
    """Write an animated GIF: the density of a flow, and its F, one frame after the other."""
    with style(FILM):
        pictures = _filmed(of, title)
    seconds = [SECONDS] * len(pictures[:-1]) + [3 * SECONDS]
    with atomic(Path(path)) as temporary:
        pictures[0].save(
            temporary,
            format="gif",
            save_all=True,
            append_images=pictures[1:],
            duration=[int(1000 * s) for s in seconds],
            loop=0,
        )


def _filmed(of: Evolution, title: str) -> list[Image.Image]:
    drawn = Figure(figsize=(11, 5.2), layout="constrained")
    canvas = FigureCanvasAgg(drawn)
    maps = [density_map(frame.x, of.half) for frame in of.frames]
    norm, pictures = _norm([density_map(of.x, of.half), maps[-1]]), []
    for k, (frame, density) in enumerate(zip(of.frames, maps, strict=True)):
        drawn.clear()
        drawn.suptitle(title)
        left, right = drawn.subplots(1, 2)
        _show(left, density, of.half, norm)
        left.set_title(frame.title)
        show_path(right, of, k)
        canvas.draw()
        shown = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        pictures.append(shown.quantize(COLOURS))
    return pictures


def _norm(maps: Sequence[Array]) -> PowerNorm:
    return PowerNorm(0.5, vmin=0, vmax=max(float(m.max()) for m in maps))


def _show(axis: Axes, density: Array, half: float, norm: PowerNorm) -> None:
    sides = (-half, half, -half, half)
    axis.imshow(density, origin="lower", extent=sides, norm=norm, cmap=MAP)
    axis.set(xlabel="x  [trap length]", ylabel="y  [trap length]")
