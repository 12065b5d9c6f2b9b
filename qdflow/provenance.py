"""Which code, which packages, which device made a number.

The hash of a script covers every module of the package that it imports, directly or not, and
ignores comments, docstrings and layout: it changes when what runs changes.
"""

import ast
import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parent
PACKAGES = ("qdflow", "torch", "numpy", "numba", "scipy", "pymbar", "arviz-stats", "pandas")


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
    """Of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


@cache
def _hash(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def _imports(path: Path) -> set[Path]:
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
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
