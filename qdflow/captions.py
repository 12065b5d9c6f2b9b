"""What to see in a figure, with its numbers, as text for a report."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from qdflow.files import atomic


def write(text: str, path: Path | str) -> None:
    """Write plain text as reStructuredText that shows it as it is, paragraph by paragraph.

    Args:
        text: paragraphs with empty lines between them, indented or not.
        path: of the file.
    """
    paragraphs = re.split(r"\n\s*\n", textwrap.dedent(text).strip())
    flowing = [" ".join(paragraph.split()) for paragraph in paragraphs]
    with atomic(Path(path)) as temporary:
        temporary.write_text("\n\n".join(map(_escaped, flowing)) + "\n", encoding="utf-8")


def listed(items: Iterable[str]) -> str:
    """One sentence's list: a, b and c; empty of nothing."""
    *first, last = [*items] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _escaped(text: str) -> str:
    # a backslash makes any mark of reStructuredText what it is
    return re.sub(r"([\\`*_|])", r"\\\1", text)
