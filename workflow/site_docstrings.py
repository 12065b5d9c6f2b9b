"""Docstrings of this library as Markdown: they are plain text, for whoever reads the code."""

import re
from typing import Any

from griffe import Extension, Object

SEVERAL = re.compile(r"^( +)(\w+(?:, \w+)+): ", re.M)  # of the arguments, with one description


class Plain(Extension):
    """Escapes what Markdown would take for markup, and splits `a, b: both` into two entries."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for everything that it has read."""
        if obj.docstring:
            blocks = re.split(r"(\n\n+)", obj.docstring.value)
            obj.docstring.value = "".join(map(_escaped, blocks))


def _escaped(block: str) -> str:
    if block.startswith("    "):  # a formula on lines of its own
        return block
    parts = re.split(r"(`[^`]*`)", _split(block))
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    return re.sub(r"([*\[\]])", r"\\\1", text.replace("<", "&lt;"))


def _split(block: str) -> str:
    """Entries for several names, each with the description: griffe knows one name an entry."""
    lines, found = block.split("\n"), []
    for line in lines:
        if match := SEVERAL.match(line):
            rest = line[match.end() :]
            found += [f"{match[1]}{name}: {rest}" for name in match[2].split(", ")]
        else:
            found.append(line)
    return "\n".join(found)
