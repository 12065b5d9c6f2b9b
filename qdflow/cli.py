"""The command line of qdflow: look at results, while they are made and afterwards."""

import math
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import click
import pandas as pd
from rich.console import Console
from rich.live import Live
from rich.table import Table

from qdflow import summary, tables, watching
from qdflow.stats import Estimate

RESULTS = click.option(
    "--results",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of a run's results.",
)
COLOURS = {
    "done": "green",
    "failed": "bold red",
    "silent": "yellow",
    "queued": "dim",
    "waiting": "dim",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="qdflow")
def main() -> None:
    """Look at what a run computes, while it computes and afterwards.

    Results are only read, never changed.
    """


@main.command()
@click.argument("results", default="results", type=click.Path(path_type=Path))
@click.option(
    "--every", default=2.0, show_default=True, type=click.FloatRange(0.1), help="Seconds."
)
@click.option("--once", is_flag=True, help="Print the table once and leave.")
def watch(results: Path, every: float, once: bool) -> None:
    """A live table of all references and cells of the run in the folder RESULTS.

    For each: where it is, the bound of F so far or F with its error, the exact F, the gap between
    them, and the time that is left at this pace. Works on a folder that other machines write to.
    Ends when all is done, or with Ctrl-C. Where output is no terminal, prints the table once.
    """
    console = _console()
    if once or not console.is_terminal:
        console.print(_watched(_seen(results)))
        return
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            found = _seen(results)
            live.update(_watched(found))
            if all(row.state == "done" for row in found):
                return
            time.sleep(every)


@main.command()
@click.argument("cell")
@RESULTS
@click.option("--curve", type=click.Path(path_type=Path), help="Draw its training to this file.")
def show(cell: str, results: Path, curve: Path | None) -> None:
    """All numbers of CELL, or of CELL@BETA, beside its reference.

    Every number has its error bar, its method and its effective sample size; what was refused
    says why.
    """
    chosen = _chosen(results, cell)
    console = _console()
    for _, rows in chosen.groupby(["system", "beta", "cell", "seed"], sort=False):
        console.print(_numbers(rows))
        own = rows.loc[rows["method"].isin(list(summary.OWN)), "verdict"]
        console.print(f"verdict: {', '.join(own.unique())}", highlight=False)
    if curve:
        _draw(chosen, results, curve)
        console.print(f"training: {curve}", highlight=False)
        if console.is_terminal:
            click.launch(str(curve))


@main.command()
@click.argument("a")
@click.argument("b")
@RESULTS
@click.option("--most", default=20, show_default=True, help="Rows to show of two folders.")
@click.option("--fail-above", type=float, help="Exit with 1 if any differs by more sigma.")
def compare(a: str, b: str, results: Path, most: int, fail_above: float | None) -> None:
    """Two cells, or two folders of results, A minus B in units of sigma.

    A and B are both CELL or CELL@BETA of one run, or both folders of results, of which all numbers
    that both have are held against each other, the farthest first.
    """
    folders = Path(a).is_dir(), Path(b).is_dir()
    if all(folders):
        keys = ["system", "beta", "cell", "seed", "method", "quantity"]
        table = summary.differences(_summary(Path(a)), _summary(Path(b)), keys)
        table = table.sort_values("sigmas", key=abs, ascending=False, ignore_index=True)
    elif any(folders):
        raise click.UsageError(f"{a!r} and {b!r} are not both folders of results, nor both cells")
    else:
        keys = ["quantity", "method"]
        table = summary.differences(_one(results, a), _one(results, b), keys)
        most = len(table)
    if table.empty:
        raise click.ClickException(f"{a} and {b} have no number in common")
    console = _console()
    console.print(_pairs(table.head(most), keys, a, b))
    console.print(f"{len(table)} numbers in common", highlight=False)
    if fail_above is not None and max(map(abs, table["sigmas"])) > fail_above:
        raise SystemExit(1)


def _numbers(rows: pd.DataFrame) -> Table:
    """All estimates of one density; those refused say why."""
    first = rows.iloc[0]
    who = f"{first['cell']}, seed {first['seed']}" if first["cell"] else "reference"
    title = f"{who}: {first['system']}, β = {first['beta']:g}"
    table = Table("quantity", "method", "estimate", "ESS", title=title)
    for row in rows.to_dict("records"):
        estimate = Estimate(row["mean"], row["stderr"], row["ess"])
        text = str(estimate) if math.isfinite(estimate.mean) else row["verdict"]
        table.add_row(row["quantity"], row["method"], text, f"{estimate.ess:.0f}")
    return table


def _pairs(found: pd.DataFrame, keys: list[str], a: str, b: str) -> Table:
    """Of `summary.differences`."""
    table = Table(*keys, a, b, "difference", "sigma")
    for row in found.to_dict("records"):
        place = (_plain(row[key]) for key in keys)
        numbers = (str(row[key]) for key in ("a", "b", "difference"))
        table.add_row(*place, *numbers, f"{row['sigmas']:+.1f}")
    return table


def _draw(chosen: pd.DataFrame, results: Path, path: Path) -> None:
    """F along the training of the first cell that was chosen."""
    from qdflow import plotting  # slow to import

    flow = chosen.loc[chosen["cell"] != "", :].iloc[0]
    beta, same = flow["beta"], chosen.loc[chosen["beta"] == flow["beta"], :]
    rows = same.loc[same["cell"] == flow["cell"], :]
    references = same.loc[same["cell"] == "", :]
    if references.empty:
        raise click.ClickException(f"{flow['cell']} has no reference at beta = {beta:g} to draw")
    history = _history(results, flow["cell"], beta, flow["seed"])
    step, F, stderr, below = (
        history[name].to_numpy() for name in ("step", "F", "F_stderr", "F_below")
    )
    exact = summary.pick(references, "F")
    final = summary.pick(rows, "F") if summary.is_bound(rows) else None
    floor = exact.mean + math.lgamma(int(flow["n"]) + 1) / beta
    with plotting.style():
        figure, (axis,) = plotting.figure(1, f"{flow['cell']}, β = {beta:g}")
        plotting.show_training(axis, step, F, stderr, final, exact, floor, below)
        plotting.save(figure, path)


def _history(results: Path, cell: str, beta: float, seed: int) -> pd.DataFrame:
    """Of a training at this beta, or of a family's."""
    folders = [
        results / "flows" / cell / at / f"seed{seed}" for at in (f"beta{beta:.12g}", "family")
    ]
    found = [path for folder in folders if (path := folder / "history.parquet").is_file()]
    return tables.read((found or [folders[0] / "history.parquet"])[0], "train")


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 140)


def _summary(folder: Path) -> pd.DataFrame:
    try:
        return tables.read(folder / "summary.parquet", "summarize", summary.COLUMNS)
    except tables.TableError as error:
        raise click.ClickException(str(error)) from None


def _chosen(results: Path, cell: str) -> pd.DataFrame:
    try:
        return summary.select(_summary(results), [cell])
    except ValueError as error:
        raise click.ClickException(f"{error} of {results}") from None


def _one(results: Path, cell: str) -> pd.DataFrame:
    """The rows of one cell at one beta with one seed."""
    chosen = _chosen(results, cell)
    chosen = chosen.loc[chosen["cell"] != "", :]
    found = sorted(set(chosen["beta"]))
    if len(found) > 1:
        names = ", ".join(f"{cell}@{beta:g}" for beta in found)
        raise click.ClickException(f"{cell} was trained at several beta; name one of {names}")
    return chosen.loc[chosen["seed"] == chosen["seed"].min(), :]


def _seen(results: Path) -> list[watching.Row]:
    try:
        return watching.rows(results, datetime.now())
    except watching.PlanError as error:
        raise click.ClickException(str(error)) from None


def _watched(found: list[watching.Row]) -> Table:
    states = Counter(row.state for row in found).most_common()
    title = ", ".join(f"{count} {state}" for state, count in states)
    table = Table("", "β", "seed", "state", "step", "F", "exact F", "gap", "left", title=title)
    for row in found:
        step = f"{row.job.done}/{row.job.total}" if row.job and row.job.total else ""
        left = _clock(row.job.left) if row.job and row.job.left is not None else ""
        gap = row.F.minus(row.exact) if row.F and row.exact else None
        numbers = [_number(one) for one in (row.F, row.exact, gap)]
        table.add_row(
            row.name,
            row.beta,
            row.seed,
            row.state,
            step,
            *numbers,
            left,
            style=COLOURS.get(row.state, "cyan"),
        )
        if row.job and row.state == "failed":
            table.add_row("", "", "", row.job.news, style=COLOURS["failed"])
    return table


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return str(estimate) if math.isfinite(estimate.stderr) else f"< {estimate.mean:.3f}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
