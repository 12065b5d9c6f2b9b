"""One style, and the axes that every figure shares."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from qdflow.curves import Curve
from qdflow.files import atomic
from qdflow.stats import Estimate

Array = NDArray[np.float64]

FLOW, EXACT, FLOOR, BELOW = "#c1442e", "#1b4965", "#7a7a7a", "#e0a526"
COLOURS = [EXACT, FLOW, "#e0a526", "#4c956c", "#7b2d8b", "#5fa8d3", "#3d3d3d"]  # reference first
STYLE: dict[Any, Any] = {
    "font.size": 15,
    "axes.titlesize": 16,
    "axes.labelsize": 16,
    "figure.titlesize": 19,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
    "pdf.fonttype": 42,
    "savefig.dpi": 110,
}


class Profile(NamedTuple):
    """Radial density: at ``r`` (bins,), ``density`` and its standard error, per unit area."""

    r: Array
    density: Array
    stderr: Array


def style() -> AbstractContextManager[None]:
    """The look of all figures, for as long as it is entered: draw and save inside it."""
    return mpl.rc_context(STYLE)


def figure(columns: int, title: str, axes: int | None = None) -> tuple[Figure, list[Axes]]:
    """A row of axes under a title, as wide as ``columns`` square ones; as many, if not told."""
    layout = ConstrainedLayoutEngine(wspace=0.06)
    drawn = Figure(figsize=(6.1 * columns, 5.9), layout=layout)
    drawn.suptitle(title)
    return drawn, list(np.ravel(drawn.subplots(1, axes or columns)))


def stacked(columns: int, title: str) -> tuple[Figure, list[Axes], list[Axes]]:
    """Two rows of axes that share their abscissae: curves above, differences below."""
    drawn = Figure(figsize=(5.0 * columns, 8.4), layout=ConstrainedLayoutEngine(wspace=0.04))
    drawn.suptitle(title)
    upper, lower = drawn.subplots(2, columns, sharex=True, squeeze=False, height_ratios=(3, 2))
    return drawn, list(upper), list(lower)


def save(drawn: Figure, path: Path | str) -> None:
    """Write PDF or PNG; the same content gives the same bytes."""
    path = Path(path)
    kind = path.suffix.lstrip(".")
    undated = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    with atomic(path) as temporary:
        drawn.savefig(temporary, format=kind, metadata=undated[kind])


def extent(*samples: Array) -> float:
    """Half the side of a square around nearly all electrons of all samples (size, n, 2)."""
    return 1.08 * max(float(np.quantile(np.abs(x), 0.9995)) for x in samples)


def density_map(x: Array, half: float) -> Array:
    """Electrons per unit area, on square cells of [-half, half]^2.  x (size, n, 2).

    The cells hold a dozen electrons on average: finer ones would show the noise.
    """
    bins = int(np.clip(np.sqrt(x.size / 2 / 12), 24, 160))
    edges = np.linspace(-half, half, bins + 1)
    counts, _, _ = np.histogram2d(x[..., 0].ravel(), x[..., 1].ravel(), bins=(edges, edges))
    return counts.T / (len(x) * (edges[1] - edges[0]) ** 2)


def radial_profile(x: Array, half: float, bins: int = 50) -> Profile:
    """Density against the distance from the centre, from independent x (size, n, 2)."""
    edges = np.linspace(0, half, bins + 1)
    ring = np.digitize(np.hypot(x[..., 0], x[..., 1]), edges) - 1
    counts = np.stack([(ring == k).sum(1) for k in range(bins)], axis=1)  # (size, bins)
    area = np.pi * np.diff(edges**2)
    return Profile(
        (edges[1:] + edges[:-1]) / 2,
        counts.mean(0) / area,
        counts.std(0, ddof=1) / np.sqrt(len(x)) / area,
    )


def show_densities(axes: list[Axes], samples: list[Array], titles: list[str]) -> float:
    """Density maps of samples (size, n, 2) side by side; returns half their side.

    They share one colour scale, whose square root keeps faint rings visible.
    """
    half = extent(*samples)
    maps = [density_map(x, half) for x in samples]
    norm = PowerNorm(0.5, vmin=0, vmax=max(m.max() for m in maps))
    images = [
        axis.imshow(
            density,
            origin="lower",
            extent=(-half, half, -half, half),
            norm=norm,
            cmap="magma",
            interpolation="nearest",
        )
        for axis, density in zip(axes, maps, strict=True)
    ]
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=14)
        axis.set_xlabel("x  [trap length]")
        axis.spines[["top", "right"]].set_visible(True)
    axes[0].set_ylabel("y  [trap length]")
    bar = axes[0].figure.colorbar(images[0], ax=axes, location="right", shrink=0.8, pad=0.02)
    bar.set_label("electrons per unit area")
    return half


def show_training(
    axis: Axes,
    steps: Array,
    F: Array,
    stderr: Array,
    final: Estimate | None,
    exact: Estimate,
    floor: float,
    F_below: Array | None = None,
) -> None:
    """F along the training, with the exact F and the floor of a flow without relabelling.

    Of the bounds, those that a step had no use for are NaN, and not drawn.

    Args:
        axis: to draw on.
        steps, F, stderr: (steps,) F of each training batch with its standard error, a band.
        final: F on fresh samples, if it is a bound.
        exact: F of the reference.
        floor: exact F + ln(n!) / beta, where a perfect flow ends that covers one relabelling of
            the electrons.
        F_below: (steps,) the lower bound on each batch of the reference.
    """
    axis.fill_between(steps, F - stderr, F + stderr, color=FLOW, alpha=0.35, lw=0)
    above, below = F[np.isfinite(F)], np.empty(0) if F_below is None else F_below
    if len(above):
        axis.plot(steps, F, color=FLOW, lw=0.6, label="training batches")
    if np.isfinite(below).any():
        axis.plot(steps, below, color=BELOW, lw=0.6, label="batches of Monte Carlo, from below")
    if final:
        axis.errorbar(
            steps[-1:],
            [final.mean],
            yerr=[final.stderr],
            fmt="o",
            color="black",
            ms=5,
            capsize=4,
            zorder=5,
            label="fresh samples",
        )
    axis.axhline(floor, color=FLOOR, ls="--", label="floor: exact + ln(n!)/β")
    axis.axhline(exact.mean, color=EXACT, label="exact (Monte Carlo)")
    axis.axhspan(exact.mean - exact.stderr, exact.mean + exact.stderr, color=EXACT, alpha=0.3, lw=0)
    axis.set(xlabel="training step", ylabel="F  [trap energy]")
    top = max([*above[len(above) // 50 :][:1], exact.mean + 1.5 * (floor - exact.mean)])
    share = 0.5 if np.isfinite(below).any() else 0.06
    axis.set_ylim(exact.mean - share * (top - exact.mean), top)
    axis.legend(loc="best")


def show_profiles(axis: Axes, profiles: list[Profile], labels: list[str]) -> None:
    """Radial densities, Monte Carlo's first, with error bars of one standard error."""
    for profile, colour, label in zip(profiles, COLOURS, labels, strict=False):
        axis.errorbar(*profile, color=colour, capsize=2, label=label)
    axis.set(
        xlabel="distance from the centre  [trap length]",
        ylabel="electrons per unit area",
        ylim=(0, None),
    )
    axis.legend(loc="upper right")


def pair_distances(x: Array, top: float, bins: int = 60) -> Profile:
    """Pairs per unit of length at each distance up to ``top``, from x (size, n, 2)."""
    i, j = np.triu_indices(x.shape[1], 1)
    r = np.linalg.norm(x[:, i] - x[:, j], axis=-1)  # (size, pairs)
    edges = np.linspace(0, top, bins + 1)
    counts = np.stack([np.histogram(row, edges)[0] for row in r])
    width = edges[1]
    return Profile(
        (edges[1:] + edges[:-1]) / 2,
        counts.mean(0) / width,
        counts.std(0, ddof=1) / np.sqrt(len(x)) / width,
    )


def show_pairs(axis: Axes, profiles: list[Profile], labels: list[str]) -> None:
    """Distances between electrons, Monte Carlo's first, with error bars of one standard error."""
    for profile, colour, label in zip(profiles, COLOURS, labels, strict=False):
        axis.errorbar(*profile, color=colour, capsize=2, label=label)
    axis.set(
        xlabel="distance between two electrons  [trap length]",
        ylabel="pairs per unit length",
        ylim=(0, None),
    )


def show_scaling(
    axis: Axes, n: list[Array], values: list[Array], errors: list[Array], labels: list[str]
) -> None:
    """Quantities (sizes,) against the number of electrons, a line each, with their errors.

    Both axes are logarithmic, and show the numbers of electrons that there are.
    """
    for k, label in enumerate(labels):
        colour = COLOURS[1 + k % (len(COLOURS) - 1)]
        axis.errorbar(
            n[k], values[k], errors[k], fmt="o-", color=colour, ms=6, capsize=3, label=label
        )
    sizes = np.unique(np.concatenate(n))
    axis.set(xscale="log", yscale="log", xlabel="electrons n")
    axis.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axis.set_xticks([], minor=True)
    axis.legend(loc="best")


def show_gains(axis: Axes, labels: list[str], gains: list[Estimate], ceilings: list[float]) -> None:
    """What each symmetry gained in F, a bar with its error, in units of its ceiling.

    The numbers stand at the right, as ceilings differ by orders of magnitude.
    """
    y = np.arange(len(labels))[::-1]
    share = [g.mean / c for g, c in zip(gains, ceilings, strict=True)]
    error = [g.stderr / c for g, c in zip(gains, ceilings, strict=True)]
    axis.barh(y, share, xerr=error, color=FLOW, height=0.55, capsize=4)
    axis.axvline(1, color=EXACT, ls="--", label="ceiling: T ln|G|")
    axis.axvline(0, color="black", lw=0.8)
    for at, gain, ceiling in zip(y, gains, ceilings, strict=True):
        axis.text(
            1.02,
            at,
            f"{gain} of {ceiling:.3f}",
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=12,
        )
    axis.set(yticks=y, xlabel="gain in F over its ceiling", ylim=(-0.6, len(labels) - 0.4))
    axis.set_yticklabels(labels, fontsize=12)
    axis.legend(loc="upper left")


def show_curves(axis: Axes, curves: list[Curve], exact: Curve, labels: list[str]) -> None:
    """A quantity against beta: lines of flows with bands of one standard error, and points."""
    for (beta, mean, stderr), colour, label in zip(curves, COLOURS[1:], labels, strict=False):
        axis.plot(beta, mean, color=colour, marker=".", ms=5, label=label)
        axis.fill_between(beta, mean - stderr, mean + stderr, color=colour, alpha=0.35, lw=0)
    axis.errorbar(*exact, fmt="o", color=EXACT, ms=6, capsize=4, zorder=5, label="Monte Carlo")
    axis.set_xscale("log")
    axis.set_xticks(exact.beta, [f"{beta:g}" for beta in exact.beta])
    axis.minorticks_off()


def show_slopes(axis: Axes, slopes: list[Curve], labels: list[str]) -> None:
    """The specific heats of flows once more, from the slopes of their <E>."""
    for slope, colour, label in zip(slopes, COLOURS[1:], labels, strict=False):
        axis.errorbar(*slope, color=colour, fmt="x", ms=6, lw=1, label=f"{label}: d⟨E⟩/dT")


def show_gaps(axis: Axes, gaps: list[Curve]) -> None:
    """What flows are above the reference, with error bars of one standard error."""
    for gap, colour in zip(gaps, COLOURS[1:], strict=False):
        axis.errorbar(*gap, color=colour, marker="o", ms=5, capsize=4)
    axis.axhline(0, color=EXACT, lw=1)
    axis.set_xlabel("β  [1 / trap energy]")
