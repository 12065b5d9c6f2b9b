"""Models and half-finished trainings on disk, written whole and read without running code."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from qdflow.files import atomic


class CheckpointError(RuntimeError):
    """A file is not what was saved."""


def save(content: dict[str, Any], path: Path) -> None:
    """Write tensors, numbers, strings and containers of them."""
    archive = io.BytesIO()  # into memory: an archive on disk would contain its temporary name
    torch.save(content, archive)
    with atomic(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU.

    Only plain data is unpickled (``weights_only``): a file from elsewhere can run nothing.

    Raises:
        CheckpointError: the file is damaged, or holds more than plain data.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch looks at none of the archive's checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:  # says nothing of the file
        raise
    except Exception as error:  # torch raises half a dozen kinds for a damaged archive
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); delete it, and"
            " what it held is computed again"
        ) from error
