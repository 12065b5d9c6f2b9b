"""What the API's pages are made of: docstrings that leave nothing out."""

import ast
import re

import pytest
from conftest import ROOT

FILES = sorted(
    path
    for path in (ROOT / "qdflow").rglob("*.py")
    if not path.stem.startswith("_") and path.stem != "cli"  # whose docstrings are its help
)
by_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
ARRAY = re.compile(r"\b(Tensor|Array|NDArray)\b")
SHAPE = re.compile(r"\(\S+,( \S+)*\)|\b[Ss]ee `|\bthose of `|\bshape\b")


def public(tree):
    """Functions and methods that a user calls."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node)
            yield from (inner for inner in node.body if getattr(inner, "name", "") == "__init__")


def raised(function):
    """The errors that it makes and raises, but those that it catches itself."""
    tries = [node for node in ast.walk(function) if isinstance(node, ast.Try)]
    own = {
        id(inner) for t in tries if catches_all(t) for part in t.body for inner in ast.walk(part)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and id(node) not in own:
            yield ast.unparse(node.exc.func).split(".")[-1]


def catches_all(node):
    return any(h.type is None or ast.unparse(h.type) == "Exception" for h in node.handlers)


@by_file
def test_what_a_function_raises_is_documented(path):
    for function in public(ast.parse(path.read_text())):
        text = ast.get_docstring(function) or ""
        for name in raised(function):
            assert re.search(rf"^ +{name}: ", text, re.M), f"{function.name} raises {name}"


@by_file
def test_arrays_have_their_shapes(path):
    for function in public(ast.parse(path.read_text())):
        hints = [*(argument.annotation for argument in function.args.args), function.returns]
        if any(hint and ARRAY.search(ast.unparse(hint)) for hint in hints):
            assert SHAPE.search(ast.get_docstring(function) or ""), function.name


def test_what_is_left_out_is_found():
    (function,) = public(ast.parse("def f(x: Tensor): raise ValueError('no')"))
    assert list(raised(function)) == ["ValueError"]
    assert SHAPE.search("x (size, n, 2)")
    assert not SHAPE.search("a number (or more)")
