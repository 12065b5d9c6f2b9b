"""Which code, which packages, which device made a number.

The hash of a script covers every module of the package that it imports, directly or not, and
ignores comments, docstrings and layout: it changes when what runs changes.
"""

import ast
import hashlib
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parent
PACKAGES = ("qdflow", "torch", "zuko", "numpy", "numba", "scipy", "pymbar", "arviz-stats", "pandas")


def code_hash(*files: Path | str) -> str:
    """Of Python files and all they import from this package; 16 hexadecimal digits."""
    content = "\n".join(sorted(f"{path.name} {_hash(path)}" for path in closure(*files)))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def closure(*files: Path | str) -> set[Path]:
    """The files, and the files of this package that they import, directly or not.

    What is imported by a computed name is invisible: name such a file as well.
    """
    found: set[Path] = set()
    pending = [Path(file).resolve() for file in files]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending.extend(_imports(path))
    return found


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # what draws needs no torch
            found[name] = version(name)
    return found


@cache
def _hash(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(_dump(tree).encode()).hexdigest()


def _dump(part: object) -> str:
    """A syntax tree as text, the same in every Python from 3.11 on.

    `ast.dump` is not: which empty fields a node has, and whether they are shown, changed.
    """
    if isinstance(part, ast.AST):
        fields = ((name, getattr(part, name, None)) for name in part._fields)
        shown = (f"{name}={_dump(value)}" for name, value in fields if value not in (None, []))
        return f"{type(part).__name__}({', '.join(shown)})"
    if isinstance(part, list):
        return f"[{', '.join(map(_dump, part))}]"
    return repr(part)


@cache
def _imports(path: Path) -> set[Path]:
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            stem = _absolute(node, path)
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            files.update(_module_files(name))
    return files


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    folder = path.parents[node.level - 1].relative_to(PACKAGE.parent)
    return ".".join([*folder.parts, *([node.module] if node.module else [])])


def _module_files(name: str) -> set[Path]:
    """The module's file and the __init__ of every package above it."""
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return set()
    files = {PACKAGE / "__init__.py"}
    folder = PACKAGE
    for part in rest:
        if (folder / f"{part}.py").is_file():
            files.add(folder / f"{part}.py")
        folder = folder / part
        if (folder / "__init__.py").is_file():
            files.add(folder / "__init__.py")
    return files
