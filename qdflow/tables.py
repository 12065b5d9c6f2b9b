"""Parquet in and out, with units and provenance.

A file is whole or absent, and says in its metadata which units its columns have, from which
configuration, seed, code, packages and device it came.
"""

import json
import math
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdflow import provenance
from qdflow.files import atomic

SAMPLES = {"x": "length", "energy": "energy"}
REFERENCE_SAMPLES = SAMPLES | {"chain": "1"}
FLOW_SAMPLES = SAMPLES | {"log_q": "ln(1/area^n)", "sign": "1"}
AVERAGED_SAMPLES = FLOW_SAMPLES | {"x_before": "length", "log_q_before": "ln(1/area^n)"}
FRAMES = {"step": "1"} | SAMPLES | {"log_q": "ln(1/area^n)"}
GRID = {"line": "1", "z": "1", "x": "length"}  # electrons have negative lines
_KEY = b"qdflow"
_SEAL = b"qdflow-crc32"  # of the note: pages have checksums of their own, what follows has none


class TableError(RuntimeError):
    """A file is not a table of the kind that was asked for."""


def write(
    frame: pd.DataFrame,
    path: Path | str,
    units: Mapping[str, str],
    config: Mapping[str, Any],
    seed: int | None = None,
    device: str = "cpu",
) -> None:
    """Write a table whose columns are the keys of ``units``, with its provenance.

    Args:
        frame: the rows; a column may hold fixed-size arrays, one a row.
        path: of the file.
        units: by column, in the order of the columns.
        config: what the rows were computed with, the hash of the code under ``code``.
        seed: of the random numbers.
        device: that computed them.

    Raises:
        ValueError: the columns are not those of ``units``.
    """
    if list(frame.columns) != list(units):
        raise ValueError(f"columns {list(frame.columns)} are not those with units, {list(units)}")
    note = {
        "units": dict(units),
        "config": dict(config),
        "seed": seed,
        "device": device,
        "versions": provenance.versions(),
    }
    table = pa.Table.from_pydict({str(name): _column(values) for name, values in frame.items()})
    text = json.dumps(_strict(note), sort_keys=True).encode()
    table = table.replace_schema_metadata({_KEY: text, _SEAL: _seal(text)})
    with atomic(Path(path)) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read(path: Path | str, rule: str, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The rows of a table.

    Args:
        path: of the file.
        rule: that makes it, for the message.
        columns: those it must have; None for any.

    Raises:
        TableError: the file is truncated, has a wrong checksum, is not one of ours, or lacks
            columns.
    """
    file = _open(path, rule)
    try:
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise TableError(_sentence(path, rule, f"is not whole ({error})")) from error
    missing = [name for name in columns or () if name not in table.column_names]
    if missing:
        raise TableError(_sentence(path, rule, f"lacks the columns {', '.join(missing)}"))
    return pd.DataFrame({name: _values(table[name]) for name in table.column_names})


def metadata(path: Path | str, rule: str) -> dict[str, Any]:
    """The provenance of a table: units, config, seed, device, versions.

    Raises:
        TableError: as for `read`.
    """
    return json.loads(_open(path, rule).schema_arrow.metadata[_KEY])


def mixed_versions(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """The packages of which not all tables had the same version: a table for each version.

    Raises:
        TableError: as for `read`.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in paths:
        for name, version in metadata(path, "any")["versions"].items():
            found.setdefault(name, {}).setdefault(version, path)
    return {name: tables for name, tables in found.items() if len(tables) > 1}


def configurations(x: NDArray[np.float64], **columns: NDArray[np.float64]) -> pd.DataFrame:
    """Samples as a table: ``x`` (size, n, 2) holds one array of 2n numbers a row.

    Columns of that shape are held like ``x``.
    """
    flat = {name: list(v.reshape(len(v), -1)) if v.ndim == 3 else v for name, v in columns.items()}
    return pd.DataFrame({"x": list(x.reshape(len(x), -1)), **flat})


def positions(frame: pd.DataFrame, column: str = "x") -> NDArray[np.float64]:
    """x (size, n, 2) of a table of samples."""
    return np.stack(frame[column].tolist()).reshape(len(frame), -1, 2)


def chains(frame: pd.DataFrame, most: int) -> NDArray[np.float64]:
    """x (chains, draws, n, 2) of a table of the reference, evenly thinned to ``most`` rows or less.

    Raises:
        TableError: the chains are not of one length.
    """
    lengths = frame["chain"].value_counts()
    if lengths.nunique() != 1:
        raise TableError(f"the chains of a reference have {sorted(lengths)} samples; rerun it")
    x = positions(frame.sort_values("chain", kind="stable"))
    x = x.reshape(len(lengths), -1, *x.shape[1:])
    return x[:, :: max(1, math.ceil(len(frame) / most))]


def halves(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every other draw of each chain of the reference, and the rest.

    A flow that learns from the one half is judged on the other: on samples that it has seen, ln q
    is too large, and the lower bound and Bennett's ratio too high.
    """
    first = frame.groupby("chain").cumcount() % 2 == 0
    return frame.loc[first, :], frame.loc[~first, :]


def _open(path: Path | str, rule: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise TableError(f"{path} does not exist; run rule {rule}, which makes it") from None
    except (pa.ArrowException, OSError) as error:
        raise TableError(_sentence(path, rule, f"is not whole ({error})")) from error
    note = file.schema_arrow.metadata or {}
    if _KEY not in note:
        raise TableError(_sentence(path, rule, "was not written by qdflow"))
    if note.get(_SEAL, _seal(note[_KEY])) != _seal(note[_KEY]):
        raise TableError(_sentence(path, rule, "is not what was written (a wrong checksum)"))
    if set(file.schema_arrow.names) != set(json.loads(note[_KEY])["units"]):
        raise TableError(_sentence(path, rule, "is not what was written (other columns)"))
    return file


def _seal(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()


def _strict(value: Any) -> Any:
    """JSON has no infinity: such numbers become text."""
    if isinstance(value, Mapping):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _sentence(path: Path | str, rule: str, fault: str) -> str:
    return f"{path} {fault}; delete it and rerun rule {rule}, which makes it"


def _column(values: pd.Series) -> pa.Array:
    if len(values) and isinstance(values.iloc[0], np.ndarray):
        block = np.stack(values.tolist())
        flat = pa.array(block.reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(block.shape[1:])))
    return pa.array(values.tolist() if values.dtype == object else values)


def _values(column: pa.ChunkedArray) -> list[Any] | NDArray[Any] | pd.Series:
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        return list(column.combine_chunks().flatten().to_numpy().reshape(-1, width))
    return column.to_pandas()
