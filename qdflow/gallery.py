"""A small album of pictures with stamps of what made them, and the numbers of their runs."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from qdflow import tables
from qdflow.files import atomic
from qdflow.summary import COLUMNS, OWN, differences

STAMP, NUMBERS = "provenance.json", "summary.csv"
WIDTH, SHADES = 900, 64  # of a picture at most: a page shows no more
FILM_BYTES = 400_000  # larger films stay with the results
KEPT = ("F", "E", "S", "C", "V", "V_ee")
PLACE = ["n", "trap", "beta", "cell", "seed", "method", "quantity"]
FIELDS = ["run", "system", *PLACE, "mean", "stderr", "ess", "unit"]


def shrunk(source: Path, target: Path) -> None:
    """Write a smaller copy of a picture; the same one gives the same bytes.

    A film (GIF) is copied as it is.
    """
    with atomic(target) as temporary:
        if source.suffix == ".gif":
            temporary.write_bytes(source.read_bytes())
            return
        with Image.open(source) as picture:
            image = picture.convert("RGB")
        if image.width > WIDTH:
            size = (WIDTH, round(image.height * WIDTH / image.width))
            image = image.resize(size, Image.Resampling.LANCZOS)
        rare = Image.Quantize.MAXCOVERAGE  # colours of lines, which a map has outnumbered
        image.quantize(SHADES, rare, kmeans=1).save(temporary, format="png", optimize=True)


def pictures(results: Path, names: Iterable[str]) -> list[Path]:
    """The figures of these names, and their films if they are small."""
    drawn = [results / "figures" / f"{name}.{kind}" for name in names for kind in ("png", "gif")]
    there = [path for path in drawn if path.exists()]
    return sorted(p for p in there if p.suffix == ".png" or p.stat().st_size <= FILM_BYTES)


def put(
    results: Path,
    run: str,
    figures: Mapping[str, Mapping[str, Any]],
    stamp: Mapping[str, Any],
    album: Path,
) -> None:
    """Put the pictures and numbers of a run into an album, in place of those it had from that run.

    Args:
        results: folder of the run.
        run: its name.
        figures: as the configuration has them, with title and category, and the hash of the code
            that draws it as `code`.
        stamp: what made it, beside what its tables say.
        album: the folder.

    Raises:
        TableError: the summary of the run is missing or damaged.
    """
    summary = results / "summary.parquet"
    rows = tables.read(summary, "summarize", COLUMNS)
    note = tables.metadata(summary, "summarize")
    made = dict(stamp, versions=note["versions"])
    album.mkdir(parents=True, exist_ok=True)
    known = stamps(album)
    for name in [name for name, one in known.items() if one["run"] == run]:
        (album / name).unlink(missing_ok=True)
        del known[name]
    for source in pictures(results, figures):
        shrunk(source, album / source.name)
        caption = source.parent / "captions" / f"{source.stem}.rst"
        spec = figures[source.stem]
        known[source.name] = {
            "run": run,
            "title": spec.get("title", source.stem) + " (film)" * (source.suffix == ".gif"),
            "category": spec.get("category", "beyond the talk"),
            "sha256": digest(album / source.name),
            "caption": plain(caption.read_text(encoding="utf-8")) if caption.exists() else "",
            "made": made | {"code": spec.get("code", "")},
        }
    _write(album / STAMP, json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False))
    table = pd.concat([_others(album, run), chosen(rows, run)], ignore_index=True)
    _write(album / NUMBERS, table.to_csv(index=False, float_format="%.10g"))


def stamps(album: Path) -> dict[str, Any]:
    """By name of a picture, what made it; empty if there is no album yet."""
    path = album / STAMP
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def numbers(album: Path) -> pd.DataFrame:
    """The numbers of an album, with the columns of `FIELDS`."""
    table = pd.read_csv(album / NUMBERS, keep_default_na=False)
    return table.assign(cell=table["cell"].astype(str), beta=table["beta"].astype(float))


def chosen(summary: pd.DataFrame, run: str) -> pd.DataFrame:
    """The rows of the long table that an album keeps: what densities say of themselves."""
    own = summary["method"].isin(list(OWN)) & summary["quantity"].isin(KEPT)
    known = own & np.isfinite(summary["mean"]) & ~summary["verdict"].str.startswith("failed")
    return summary.loc[known, :].assign(run=run)[FIELDS]


def agreement(album: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """The exact numbers that an album and a run have in common, and how far apart they are.

    Those of references: of a flow, another training is another flow. Columns as `differences` has
    them.
    """
    sides = (album, chosen(summary, ""))
    exact = [side.loc[side["cell"] == "", :].drop_duplicates(PLACE) for side in sides]
    return differences(*exact, keys=[key for key in PLACE if key not in ("cell", "seed")])


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain(text: str) -> str:
    """reStructuredText of `captions.write` as it shows."""
    return text.replace("\\", "").strip()


def page(album: Path, order: Sequence[str]) -> str:
    """All pictures with their captions and what made them, in Markdown.

    Args:
        album: the folder.
        order: of the categories.
    """
    known = stamps(album)
    parts = [_HEAD]
    for category in order:
        names = [name for name, one in known.items() if one["category"] == category]
        parts += [f"\n## {category[0].upper()}{category[1:]}\n"] * bool(names)
        for name in names:
            one = known[name]
            parts.append(f"\n### {one['title']}\n\n![{one['title']}]({name})\n")
            parts += [f"\n{one['caption']}\n"] * bool(one["caption"])
            parts.append(f"\n`{name}` of the run `{one['run']}`, {_stamped(one['made'])}.\n")
    return "".join(parts)


_HEAD = """# Gallery

Figures of full runs, made from their tables by `make docs`. `provenance.json` says what made each
picture, `summary.csv` has the numbers of the runs; a test compares them with those of the code as
it is. A run has them larger, for slides and for a journal's column, in `results/figures/`.
"""


def _stamped(made: Mapping[str, Any]) -> str:
    known = [f"commit {made['commit']}"] if made.get("commit") else []
    known += [f"code {made['code']}"] if made.get("code") else []
    return ", ".join(known) or "made before pictures were stamped"


def _others(album: Path, run: str) -> pd.DataFrame:
    if not (album / NUMBERS).exists():
        return pd.DataFrame(columns=FIELDS)
    table = numbers(album)
    return table.loc[table["run"] != run, :]


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")


def unknown(album: Path) -> list[str]:
    """Names of pictures that no stamp knows, and of stamps without a picture."""
    there = {path.name for path in album.iterdir() if path.suffix in (".png", ".gif")}
    return sorted(there ^ set(stamps(album)))
