"""Files of configuration that snakemake could not even read, refused in a sentence.

`profiles/default` calls this before snakemake reads them, as it would end with a traceback.
"""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

OPTIONS = ("--configfile", "--configfiles")
DEFAULT = "config/config.yaml"


class _Loader(yaml.SafeLoader):
    """Of two entries with one name YAML keeps the last, and nobody would know."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def refuse(arguments: Sequence[str]) -> None:
    """Leave with a sentence if a configuration that these arguments name cannot be read.

    Args:
        arguments: of the command line; without any file in them the default one is read.
    """
    named = files(arguments)
    for path in named or [DEFAULT]:
        if (named or Path(path).exists()) and (sentence := unreadable(Path(path))):
            sys.exit(f"The configuration cannot be used: {sentence}.")


def files(arguments: Sequence[str]) -> list[str]:
    """Those after --configfile, which takes all words up to the next option."""
    found, taking = [], False
    for word in arguments:
        option, _, value = word.partition("=")
        if option in OPTIONS:
            taking = not value
            found += [value] * bool(value)
        elif word.startswith("-"):
            taking = False
        elif taking:
            found.append(word)
    return found


def unreadable(path: Path) -> str:
    """Why a file is no configuration, with the remedy; empty if it may be one."""
    if path.is_dir():
        return f"{path} is a folder; name a file in it"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        return f"{path} does not exist{_hint(path)}; name another, and targets before it"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); allow it, or name another file"
    except UnicodeDecodeError as error:
        byte, line = error.object[error.start], error.object[: error.start].count(b"\n") + 1
        return (
            f"{path} is not UTF-8, with the byte {byte:#04x} in line {line}; save it with that"
            " encoding"
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "it"
        return f"{path} is no YAML: in {where}, {error.problem}; mend it"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"{path} is no YAML: {' '.join(str(error).split())}; mend it"
    if content is None:
        return f"{path} is empty; config/README.md says what stands in it"
    if not isinstance(content, dict):
        return (
            f"{path} holds {type(content).__name__} and no keys; write `systems:` and the others of"
            " config/README.md at the beginning of lines"
        )
    return ""


def _hint(path: Path) -> str:
    beside = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    return f" (did you mean {path.parent / close[0]}?)" if close else ""
