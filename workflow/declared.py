"""What architectures, traps and figures say of themselves in their own files.

Files of flows and figures are read, not imported: a plan needs no torch, and draws nothing.
"""

import ast
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from qdflow.flows import _options
from qdflow.traps import TRAPS

ROOT = Path(__file__).parents[1]
FLOWS = ROOT / "qdflow" / "flows"
SCRIPTS = ROOT / "workflow" / "scripts"
PREFIX = "figure_"
# Where a figure's tables may come from: `flow/samples`, say.
SOURCES = {
    "flow": ("estimates", "samples", "audit", "bounds", "anneal", "frames", "grid"),
    "training": ("history", "model"),
    "reference": ("estimates", "samples", "ladder"),
    "references": ("estimates", "samples", "ladder"),  # of the system, at all its betas
    "run": ("summary", "comparisons"),
}
COMPARE = {  # what most figures read: `panels.read_shown` takes it
    "flow_samples": "flow/samples",
    "flow_estimates": "flow/estimates",
    "flow_audit": "flow/audit",
    "mc_samples": "reference/samples",
    "mc_estimates": "reference/estimates",
}
_WORDS = {name: getattr(typing, name) for name in ("Annotated", "Any", "Literal")}
_WORDS |= {"Sequence": Sequence, "int": int, "float": float, "bool": bool, "str": str}
_WORDS |= {name: value for name, value in vars(_options).items() if name[0].isupper()}


class DeclarationError(ValueError):
    """A sentence about a file that does not say of itself what the plan has to know."""


class Architecture(NamedTuple):
    """What the plan knows of a flow.

    Attributes:
        options: JSON schema of each, with its default and description.
        exact_log_prob: as `Flow` has it.
        alike: whether electrons are treated alike, and an inverse or a log_prob is exact.
        is_map: whether x = f(z), as `Flow.reparametrised` has it.
        impossible: why n electrons cannot have these options, which are complete; or empty.
    """

    options: dict[str, dict[str, Any]]
    exact_log_prob: bool
    alike: bool
    is_map: bool
    impossible: Callable[[int, Mapping[str, Any]], str]


class Figure(NamedTuple):
    """What the plan knows of a kind of figure, the dictionary `FIGURE` in its script.

    Attributes:
        flows: how many it shows, at least and at most.
        inputs: name in `snakemake.input` -> table, `SOURCE/TABLE` of `SOURCES`.
        betas: `one`, or `all` of each cell that is shown.
        averaged: whether its cells have to be averaged over a group.
        electrons: that they have to have at least.
        options: JSON schema of keys of its own in the configuration.
        about: the first line of the script's docstring.
    """

    flows: tuple[int, int]
    inputs: dict[str, str] = COMPARE
    betas: str = "one"
    averaged: bool = False
    electrons: int = 1
    options: dict[str, Any] = {}  # noqa: RUF012
    about: str = ""


def names(folder: Path, prefix: str = "") -> list[str]:
    """Of what has a file in this folder, in the order of the alphabet."""
    stems = (p.stem for p in folder.glob(f"{prefix or '[a-z]'}*.py"))
    return sorted(s.removeprefix(prefix) for s in stems if s not in ("base", "__init__"))


def figures() -> list[str]:
    """The kinds of figures that there are."""
    return names(SCRIPTS, PREFIX)


@cache
def about_trap(name: str) -> str:
    """The first line of its docstring."""
    return _about(ROOT / "qdflow" / "traps" / f"{name}.py")


@cache
def group_of_trap(name: str) -> str:
    """The group of the plane that leaves V as it is. A trap is plain Python, so it is imported.

    Raises:
        DeclarationError: the file fails, or names no trap.
    """
    try:
        return TRAPS[name].group
    except Exception as error:  # whatever a file of somebody else's raises
        raise DeclarationError(
            f"qdflow/traps/{name}.py has no trap = Trap(...), as it fails"
            f" ({type(error).__name__}: {error})"
        ) from error


@cache
def architecture(name: str) -> Architecture:
    """Read qdflow/flows/NAME.py.

    Raises:
        DeclarationError: there is an option that the file does not describe so that a
            configuration could name it, or no class named `build`.
    """
    path = FLOWS / f"{name}.py"
    classes = list(_lineage(path, _assigned(path, "build", ast.Name).id))
    exact, inverse = (_attribute(classes, a) for a in ("exact_log_prob", "exact_inverse"))
    symmetry = str(_attribute(classes, "symmetry") or "none").split("+")
    inits = [f for c in classes for f in c.body if _is_function(f, "__init__")]
    if not inits:
        raise DeclarationError(f"{_short(path)}: the class build has no __init__; write one")
    return Architecture(
        _options_of(inits[0], path),
        exact is True,
        "permutation" in symmetry and True in (exact, inverse),
        _attribute(classes, "reparametrised") is not False,
        _judge(path),
    )


@cache
def figure(kind: str) -> Figure:
    """Read workflow/scripts/figure_KIND.py.

    Raises:
        DeclarationError: its FIGURE is missing, no plain dictionary, or asks for no such table.
    """
    path = SCRIPTS / f"{PREFIX}{kind}.py"
    try:
        content = ast.literal_eval(_assigned(path, "FIGURE", ast.Dict))
        found = Figure(**content, about=_about(path))
        least, most = found.flows
    except (ValueError, TypeError) as error:
        raise DeclarationError(
            f"{_short(path)}: FIGURE cannot be read ({error}); give it 'flows': (least, most), and"
            f" of {', '.join(f for f in Figure._fields if f != 'about')} what differs"
        ) from None
    for table in found.inputs.values():
        source, _, name = table.partition("/")
        if name not in SOURCES.get(source, ()):
            known = (f"{s}/{t}" for s, tables in SOURCES.items() for t in tables)
            raise DeclarationError(
                f"{_short(path)}: there is no table {table!r}; choose from {', '.join(known)}"
            )
    if found.betas not in ("one", "all") or not 0 <= least <= most:
        raise DeclarationError(
            f"{_short(path)}: flows is {found.flows} and betas {found.betas!r}; give the least and"
            " the most, and 'one' or 'all'"
        )
    return found


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        raise DeclarationError(f"{_short(path)} cannot be read ({error}); mend it") from None


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _about(path: Path) -> str:
    return (ast.get_docstring(_tree(path)) or "").partition("\n")[0]


def _is_function(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def _assigned(path: Path, name: str, kind: Any) -> Any:
    """What the file assigns to a name of its own, the last time."""
    for node in reversed(_tree(path).body):
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [name]:
            if isinstance(node.value, kind):
                return node.value
            break
    wanted = "the name of a class" if kind is ast.Name else "a dictionary that is written out"
    raise DeclarationError(f"{_short(path)} has no {name} = {wanted}; add it")


def _lineage(path: Path, name: str) -> Iterator[ast.ClassDef]:
    """A class and those of this package that it inherits from, in files of qdflow/flows/."""
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            yield node
            for base in filter(lambda b: isinstance(b, ast.Name), node.bases):
                yield from _lineage(path, base.id)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qdflow.flows."):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    yield from _lineage(FLOWS / f"{node.module.split('.')[-1]}.py", alias.name)


def _attribute(classes: list[ast.ClassDef], name: str) -> Any:
    """A constant of the first class that has it; None if none has."""
    for node in (node for c in classes for node in c.body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if [t.id for t in targets if isinstance(t, ast.Name)] == [name]:
            value = getattr(node, "value", None)
            return value.value if isinstance(value, ast.Constant) else None
    return None


def _options_of(init: ast.FunctionDef, path: Path) -> dict[str, dict[str, Any]]:
    """The parameters after self, system and generator."""
    words = _described(ast.get_docstring(init) or "")
    parameters = init.args.args[3:]
    defaults = init.args.defaults
    if len(defaults) < len(parameters):
        raise DeclarationError(f"{_short(path)}: an option has no default; give it one")
    found = {}
    for parameter, default in zip(parameters, defaults[-len(parameters) :], strict=True):
        name = parameter.arg
        try:
            hint = eval(ast.unparse(parameter.annotation), {"__builtins__": {}}, _WORDS)  # type: ignore
            content = _options.schema(hint)
            value = ast.literal_eval(default)
        except Exception as error:
            raise DeclarationError(
                f"{_short(path)}: the option {name!r} cannot be read ({error}); give it a type that"
                " qdflow/flows/_options.py knows, and a plain default"
            ) from None
        if name not in words:
            raise DeclarationError(
                f"{_short(path)}: nothing is said of the option {name!r}; add a line to Args in the"
                " docstring of __init__"
            )
        about = words[name][0].upper() + words[name][1:]
        plain = list(value) if isinstance(value, tuple) else value
        found[name] = {"description": about} | content | {"default": plain}
    return found


def _described(docstring: str) -> dict[str, str]:
    """Of each argument, what its docstring says."""
    _, _, section = docstring.partition("\nArgs:\n")
    lines = section.split("\n\n")[0]
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", lines, re.M)
    return {
        name: re.sub(r"\s+", " ", text) for names, text in entries for name in names.split(", ")
    }


def _judge(path: Path) -> Callable[[int, Mapping[str, Any]], str]:
    """The function `impossible` of a file, by itself; one that allows all where there is none."""
    found = [node for node in _tree(path).body if _is_function(node, "impossible")]
    if not found:
        return lambda _n, _options: ""
    node = ast.parse(ast.unparse(found[0])).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.returns = None
    for argument in node.args.args:
        argument.annotation = None
    space: dict[str, Any] = {}
    exec(compile(ast.Module([node], []), str(path), "exec"), space)

    def judge(n: int, options: Mapping[str, Any]) -> str:
        try:
            return space["impossible"](n, options)
        except Exception as error:
            raise DeclarationError(
                f"{_short(path)}: impossible() failed for {n} electrons and {dict(options)}"
                f" ({error}); it may use its arguments and what Python has by itself"
            ) from None

    return judge
