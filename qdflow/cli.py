"""The command line of qdflow: look at results, while they are made and afterwards."""

import math
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
import pandas as pd
from rich.console import Console
from rich.live import Live

from qdflow import summary, tables, views, watching
from qdflow.sketch import sketch

RESULTS = click.option(
    "--results",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of a run's results.",
)
FRAME = 7  # lines of a table that are none of its rows


def _picture(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    if path and path.suffix not in (".pdf", ".png"):
        raise click.BadParameter(f"{str(path)!r} is neither .pdf nor .png")
    return path


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="qdflow")
def main() -> None:
    """Look at what a run computes, while it computes and afterwards.

    Results are only read, never changed. What computes them is `make figures`.

    \b
    qdflow watch                     how far the run in results/ is
    qdflow watch results/smoke       how far another one is
    qdflow show talk-cold            all numbers of a cell, and its training
    qdflow compare talk-cold convex@10
    qdflow compare talk-hot:0 talk-hot:2           two of its seeds
    qdflow compare results results-of-a-friend --references --fail-above 4

    The exit status is 0 if all went well, 1 if something is missing or damaged, or if
    `--fail-above` was exceeded, and 2 if the command line cannot be understood.
    """


@main.command(short_help="A live table of a run: states, steps, F, gaps, time left.")
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

    \b
    queued      nothing was heard of it yet
    reference, train, estimate, audit, ...   the job that is at work
    waiting     between two of its jobs
    silent      its log has not grown for five minutes: it may be dead
    failed      with the reason below

    Where the terminal is too short for all, those that failed or are at work come first.
    """
    console = _console()
    if once or not console.is_terminal:
        console.print(views.watched(_seen(results)))
        return
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            found = _seen(results)
            live.update(views.watched(found, console.height - FRAME), refresh=True)
            if all(row.state == "done" for row in found):
                return
            time.sleep(every)


@main.command(short_help="All numbers of a cell beside its reference, and its training.")
@click.argument("cell")
@RESULTS
@click.option(
    "--curve",
    type=click.Path(path_type=Path),
    callback=_picture,
    help="Draw its training to this file, too (PDF or PNG), and open it.",
)
def show(cell: str, results: Path, curve: Path | None) -> None:
    """All numbers of CELL, CELL@BETA or CELL@BETA:SEED, its reference's, and its training.

    Every number has its error bar, its method and its effective sample size; what was refused
    says why. Of a run that is not at its end, what there is so far. The curve is F of the training
    batches, the dotted line the exact F.
    """
    chosen = _chosen(results, cell)
    console = _console()
    for _, rows in chosen.groupby(["system", "beta", "cell", "seed"], sort=False):
        console.print(views.numbers(rows))
        console.print(f"verdict: {_verdict(rows)}", highlight=False)
    _sketch(chosen, results, console)
    if curve:
        _draw(chosen, results, curve)
        console.print(f"training: {curve}", highlight=False)
        if console.is_terminal:
            click.launch(str(curve))


@main.command(short_help="Two cells, or two folders of results, in sigma.")
@click.argument("a")
@click.argument("b")
@RESULTS
@click.option(
    "--most",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Rows to show of two folders.",
)
@click.option(
    "--references",
    is_flag=True,
    help="Of two folders only the numbers of Monte Carlo, which should agree.",
)
@click.option(
    "--fail-above", type=click.FloatRange(0), help="Exit with 1 if any differs by more sigma."
)
def compare(
    a: str, b: str, results: Path, most: int, references: bool, fail_above: float | None
) -> None:
    """Two cells, or two folders of results, A minus B in units of sigma.

    A and B are both CELL, CELL@BETA or CELL@BETA:SEED of one run, or both folders of results, of
    which all numbers that both have are held against each other, the farthest first. A flow that
    was trained elsewhere, or again with other rounding, is another flow: its numbers differ by more
    than their errors, and `--references` leaves them out.

    F of a flow that has failed is no bound and is not compared. Times are not, either.
    """
    folders = Path(a).is_dir(), Path(b).is_dir()
    if references and not all(folders):
        raise click.UsageError(f"--references is for two folders of results, not {a!r} and {b!r}")
    console = _console()
    if all(folders):
        keys = ["system", "beta", "cell", "seed", "method", "quantity"]
        sides = [_summary(Path(side)) for side in (a, b)]
        if references:
            sides = [side.loc[side["cell"] == "", :] for side in sides]
        table = summary.differences(sides[0], sides[1], keys)
        table = table.sort_values("sigmas", key=abs, ascending=False, ignore_index=True)
    elif any(folders):
        raise click.UsageError(f"{a!r} and {b!r} are not both folders of results, nor both cells")
    else:
        keys = ["quantity", "method"]
        sides = [_one(results, side) for side in (a, b)]
        table = summary.differences(sides[0], sides[1], keys)
        most = len(table)
        for side, rows in zip((a, b), sides, strict=True):
            if not summary.is_bound(rows):
                console.print(f"{side} {_verdict(rows)}; its F is no bound", highlight=False)
    if table.empty:
        raise click.ClickException(f"{a} and {b} have no number in common")
    console.print(views.pairs(table.head(most), keys, a, b))
    console.print(f"{len(table)} numbers in common", highlight=False)
    if fail_above is not None and max(map(abs, table["sigmas"])) > fail_above:
        raise SystemExit(1)


def _trained(chosen: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the first flow that was chosen, and of its reference, if there is one."""
    first = chosen.loc[chosen["cell"] != "", :].iloc[0]
    same = chosen.loc[chosen["beta"] == first["beta"], :]
    own = (same["cell"] == first["cell"]) & (same["seed"] == first["seed"])
    return same.loc[own, :], same.loc[same["cell"] == "", :]


def _sketch(chosen: pd.DataFrame, results: Path, console: Console) -> None:
    """F along the training, as text; nothing if the training's table is not there."""
    rows, references = _trained(chosen)
    try:
        history = _history(results, rows.iloc[0])
    except tables.TableError:
        return
    F = history["F"].fillna(history["F_below"])  # some objectives know only the lower bound
    exact = [] if references.empty else [summary.pick(references, "F").mean]
    first = rows.iloc[0]
    where = f"β = {first['beta']:g}"
    if _is_of_a_family(results, first):  # whose F is that of no one beta
        where, exact = "a family, mean over its temperatures", []
    console.print(f"\ntraining of {first['cell']}, {where}, seed {first['seed']}: F")
    console.print(sketch(history["step"], F, exact), highlight=False)


def _draw(chosen: pd.DataFrame, results: Path, path: Path) -> None:
    """F along the training of the first flow that was chosen."""
    from qdflow import plotting  # slow to import

    rows, references = _trained(chosen)
    flow = rows.iloc[0]
    if references.empty:
        raise click.ClickException(
            f"{flow['cell']} has no reference at beta = {flow['beta']:g} to draw"
        )
    if _is_of_a_family(results, flow):
        raise click.ClickException(
            f"{flow['cell']} is a family: its training has a mean over temperatures, and no curve"
            " at one beta; leave --curve out, or see its figure of kind thermodynamics"
        )
    try:
        history = _history(results, flow)
    except tables.TableError as error:
        raise click.ClickException(str(error)) from None
    step, F, stderr, below = (
        history[name].to_numpy() for name in ("step", "F", "F_stderr", "F_below")
    )
    exact = summary.pick(references, "F")
    final = summary.pick(rows, "F") if summary.is_bound(rows) else None
    floor = exact.mean + math.lgamma(int(flow["n"]) + 1) / flow["beta"]
    with plotting.style():
        figure, (axis,) = plotting.figure(1, f"{flow['cell']}, β = {flow['beta']:g}")
        plotting.show_training(axis, step, F, stderr, final, exact, floor, below)
        try:
            plotting.save(figure, path)
        except OSError as error:
            raise click.ClickException(
                f"{path} cannot be written ({error.strerror}); name another place"
            ) from None


def _history(results: Path, flow: pd.Series) -> pd.DataFrame:
    """Of a training at this beta, or of a family's.

    Raises:
        TableError: it is missing or damaged.
    """
    at = "family" if _is_of_a_family(results, flow) else f"beta{flow['beta']:.12g}"
    return tables.read(_training(results, flow, at), "train")


def _is_of_a_family(results: Path, flow: pd.Series) -> bool:
    return _training(results, flow, "family").is_file()


def _training(results: Path, flow: pd.Series, at: str) -> Path:
    return results / "flows" / str(flow["cell"]) / at / f"seed{flow['seed']}" / "history.parquet"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 140)


def _summary(folder: Path) -> pd.DataFrame:
    try:
        return tables.read(folder / "summary.parquet", "summarize", summary.COLUMNS)
    except tables.TableError as error:
        raise click.ClickException(str(error)) from None


def _chosen(results: Path, cell: str) -> pd.DataFrame:
    """From the tables that a run has made so far; without its plan, from the summary."""
    place, colon, seed = cell.partition(":")
    name, at, beta = place.partition("@")
    if at and not _is_number(beta):
        raise click.ClickException(f"{beta!r} in {cell!r} is no beta; write it like {name}@10")
    if colon and not seed.isdecimal():
        raise click.ClickException(f"{seed!r} in {cell!r} is no seed; write it like {place}:0")
    rows = _rows(results, place)
    if not colon:
        return rows
    there = sorted(rows.loc[rows["cell"] != "", "seed"].unique())
    if int(seed) not in there:
        known = ", ".join(map(str, there))
        raise click.ClickException(f"{place} has no seed {seed} so far; it has {known}")
    return rows.loc[(rows["cell"] == "") | (rows["seed"] == int(seed)), :]


def _rows(results: Path, cell: str) -> pd.DataFrame:
    with suppress(watching.PlanError, ValueError):
        return summary.select(watching.estimates(results, cell.partition("@")[0]), [cell])
    try:
        return summary.select(_summary(results), [cell])
    except (click.ClickException, ValueError) as missing:
        raise click.ClickException(_why_not(results, cell, missing)) from None


def _why_not(results: Path, name: str, missing: Exception) -> str:
    """Why there are no numbers of a cell, or of a cell at this beta."""
    with suppress(watching.PlanError):
        if name.partition("@")[0] in watching.cells(results):
            return f"{name} has no numbers yet; qdflow watch {results} shows how far it is"
    if isinstance(missing, click.ClickException):
        return missing.message
    cells = ", ".join(filter(None, _summary(results)["cell"].unique()))
    return f"{missing} of {results}; it has {cells}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _one(results: Path, cell: str) -> pd.DataFrame:
    """The rows of one cell at one beta with one seed, the first unless it is named."""
    chosen = _chosen(results, cell)
    chosen = chosen.loc[chosen["cell"] != "", :]
    found = sorted(set(chosen["beta"]))
    if len(found) > 1:
        names = ", ".join(f"{cell}@{beta:g}" for beta in found)
        raise click.ClickException(f"{cell} was trained at several beta; name one of {names}")
    seeds = sorted(set(chosen["seed"]))
    if len(seeds) > 1:
        others = ", ".join(f"{cell}:{seed}" for seed in seeds[1:])
        click.echo(f"{cell} has {len(seeds)} seeds; this is {cell}:{seeds[0]}, others are {others}")
    return chosen.loc[chosen["seed"] == seeds[0], :]


def _verdict(rows: pd.DataFrame) -> str:
    """What was found of the flow itself."""
    own = rows.loc[rows["method"].isin(list(summary.OWN)), "verdict"]
    return ", ".join(own.unique())


def _seen(results: Path) -> list[watching.Row]:
    try:
        return watching.rows(results, datetime.now())
    except watching.PlanError as error:
        raise click.ClickException(str(error)) from None
