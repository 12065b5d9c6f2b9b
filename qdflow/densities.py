"""Where electrons are, and how far apart: densities of samples, and their axes."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray

from qdflow.plotting import COLOURS, MAP, scaled

Array = NDArray[np.float64]


class Profile(NamedTuple):
    """Radial density: at ``r`` (bins,), ``density`` and its standard error, per unit area."""

    r: Array
    density: Array
    stderr: Array


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
            cmap=MAP,
            interpolation="nearest",
        )
        for axis, density in zip(axes, maps, strict=True)
    ]
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=scaled(14))
        axis.set_xlabel("x  [trap length]")
        axis.spines[["top", "right"]].set_visible(True)
    axes[0].set_ylabel("y  [trap length]")
    bar = axes[0].figure.colorbar(images[0], ax=axes, location="right", shrink=0.8, pad=0.02)
    bar.set_label("electrons per unit area")
    return half


def draw(axis: Axes, profiles: Iterable[Profile], labels: Iterable[str], first: int = 0) -> None:
    """Profiles with their error bars, in `COLOURS` from the ``first`` on."""
    for profile, colour, label in zip(profiles, COLOURS[first:], labels, strict=False):
        axis.errorbar(*profile, color=colour, capsize=scaled(2), label=label)


def show_profiles(axis: Axes, profiles: list[Profile], labels: list[str]) -> None:
    """Radial densities, Monte Carlo's first, with error bars of one standard error."""
    draw(axis, profiles, labels)
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
    draw(axis, profiles, labels)
    axis.set(
        xlabel="distance between two electrons  [trap length]",
        ylabel="pairs per unit length",
        ylim=(0, None),
    )
