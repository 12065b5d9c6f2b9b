"""The command line of qdflow: look at results, while they are made and afterwards."""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
import pandas as pd
from rich.console import Console
from rich.live import Live
from rich.table import Table

from qdflow import summary, tables, watching
from qdflow.sketch import sketch
from qdflow.stats import Estimate

RESULTS = click.option(
    "--results",
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of a run's results.",
)
FRAME = 7  # lines of a table that are none of its rows
URGENCY = ("failed", "silent", "waiting", "queued", "done")  # what is at work comes second
COLOURS = {
    "done": "green",
    "failed": "bold red",
    "silent": "yellow",
    "queued": "dim",
    "waiting": "dim",
}


def _picture(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    if path and path.suffix not in (".pdf", ".png"):
        raise click.BadParameter(f"{str(path)!r} is neither .pdf nor .png")
    return path


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="qdflow")
def main() -> None:
    """Look at what a run computes, while it computes and afterwards.

    Results are only read, never changed. The computing itself is Snakemake's: `make figures`, or
    `snakemake --cores 8`.

    \b
    qdflow watch                     how far the run in results/ is
    qdflow watch results/smoke       how far another one is
    qdflow show talk-cold            all numbers of a cell, and its training
    qdflow compare talk-cold convex@10
    qdflow compare results results-of-a-friend --fail-above 4

    The exit status is 0 if all went well, 1 if something is missing or damaged, or if
    `--fail-above` was exceeded, and 2 if the command line cannot be understood.
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
        console.print(_watched(_seen(results)))
        return
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            found = _seen(results)
            live.update(_watched(found, console.height - FRAME), refresh=True)
            if all(row.state == "done" for row in found):
                return
            time.sleep(every)


@main.command()
@click.argument("cell")
@RESULTS
@click.option(
    "--curve",
    type=click.Path(path_type=Path),
    callback=_picture,
    help="Draw its training to this file, too (PDF or PNG), and open it.",
)
def show(cell: str, results: Path, curve: Path | None) -> None:
    """All numbers of CELL, or of CELL@BETA, beside its reference, and its training.

    Every number has its error bar, its method and its effective sample size; what was refused
    says why. Of a run that is not at its end, what there is so far. The curve is F of the training
    batches, the dotted line the exact F.
    """
    chosen = _chosen(results, cell)
    console = _console()
    for _, rows in chosen.groupby(["system", "beta", "cell", "seed"], sort=False):
        console.print(_numbers(rows))
        own = rows.loc[rows["method"].isin(list(summary.OWN)), "verdict"]
        console.print(f"verdict: {', '.join(own.unique())}", highlight=False)
    _sketch(chosen, results, console)
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
    console.print(f"\ntraining of {first['cell']}, β = {first['beta']:g}, seed {first['seed']}: F")
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
        plotting.save(figure, path)


def _history(results: Path, flow: pd.Series) -> pd.DataFrame:
    """Of a training at this beta, or of a family's.

    Raises:
        TableError: it is missing or damaged.
    """
    folders = [
        results / "flows" / str(flow["cell"]) / at / f"seed{flow['seed']}"
        for at in (f"beta{flow['beta']:.12g}", "family")
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
    """From the summary, or from the tables that a run has made so far."""
    name, at, beta = cell.partition("@")
    if at and not _is_number(beta):
        raise click.ClickException(f"{beta!r} in {cell!r} is no beta; write it like {name}@10")
    try:
        return summary.select(_summary(results), [cell])
    except (click.ClickException, ValueError) as missing:
        try:
            return summary.select(watching.estimates(results, name), [cell])
        except (watching.PlanError, ValueError):
            if isinstance(missing, click.ClickException):
                raise missing from None
            raise click.ClickException(
                f"{missing} of {results}; it has {_cells(results)}"
            ) from None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _cells(results: Path) -> str:
    return ", ".join(filter(None, _summary(results)["cell"].unique()))


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


def _watched(found: list[watching.Row], most: int | None = None) -> Table:
    """All rows in their order, or as many as fit, the most urgent first."""
    states = Counter(row.state for row in found).most_common()
    title = ", ".join(f"{count} {state}" for state, count in states)
    table = Table("", "β", "seed", "state", "step", "F", "exact F", "gap", "left", title=title)
    lines = [part for row in found for part in _lines(row)]
    if most is not None and len(lines) > most:
        lines = [part for row in sorted(found, key=_urgency) for part in _lines(row)]
        table.caption = f"and {len(lines) - most} lines more; all of them: qdflow watch --once"
    for cells, style in lines[:most]:
        table.add_row(*cells, style=style)
    return table


def _urgency(row: watching.Row) -> float:
    return URGENCY.index(row.state) if row.state in URGENCY else 0.5


def _lines(row: watching.Row) -> Iterator[tuple[list[str], str]]:
    """The cells and the style of its lines: one, or two if it failed."""
    step = f"{row.job.done}/{row.job.total}" if row.job and row.job.total else ""
    left = _clock(row.job.left) if row.job and row.job.left is not None else ""
    gap = row.F.minus(row.exact) if row.F and row.exact else None
    numbers = [_number(one) for one in (row.F, row.exact, gap)]
    place = [row.name, row.beta, row.seed, row.state, step]
    yield [*place, *numbers, left], COLOURS.get(row.state, "cyan")
    if row.job and row.state == "failed":
        yield ["", "", "", row.job.news], COLOURS["failed"]


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
