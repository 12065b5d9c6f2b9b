"""How the replica exchange of a reference did, rung by rung."""

from failures import sentences
from matplotlib.figure import Figure

from qdflow import captions, climbing, plotting, tables
from qdflow.summary import COLUMNS, pick

FIGURE = {
    "flows": (1, 1),
    "inputs": {"mc_ladder": "reference/ladder", "mc_estimates": "reference/estimates"},
}

sentences(snakemake)
job, out = snakemake.params.job, snakemake.output
one = climbing.climb(tables.read(snakemake.input.mc_ladder, "reference", climbing.COLUMNS))
estimates = tables.read(snakemake.input.mc_estimates, "reference", COLUMNS)


def draw() -> Figure:
    """Moves, energies, agreement."""
    figure, axes = plotting.figure(3, job["title"])
    climbing.show_moves(axes[0], one)
    climbing.show_pair_energy(axes[1], one)
    climbing.show_r_hat(axes[2], one)
    return figure


plotting.publish(draw, [out.pdf, out.png], [out.column])
moves, slow = climbing.weakest(one.accepted)
swaps, gap = climbing.weakest(one.swapped) if len(one.swapped) else (1.0, 0)
first = estimates.iloc[0]
captions.write(
    f"""
    How Monte Carlo sampled n = {first["n"]} electrons at β = {first["beta"]:g}: a ladder of
    {len(one.coupling)} systems from an ideal gas to the dot, which exchange their configurations.
    Look for shares of accepted moves and swaps that nowhere come near 0, for a smooth fall of the
    mean Coulomb energy, whose area is what the interaction adds to F, and for chains that agree:
    R-hat - 1 below the dashed line.

    At least {moves:.0%} of the moves were accepted (rung {slow}), and {swaps:.0%} of the swaps
    (above rung {gap}); the largest R-hat is {one.r_hat.max():.4f}. F is {pick(estimates, "F")},
    with the verdict {first["verdict"]}.
    """,
    out.caption,
)
