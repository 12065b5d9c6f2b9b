"""What the site has besides docs/: the repository's own pages, and the API, a page a module.

MkDocs calls these functions while it builds (`hooks` in mkdocs.yml). Links between pages are those
of the repository, where they work as they stand; here they become those of the site.
"""

import ast
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {  # of the repository, and their place on the site
    "README.md": "index.md",
    "config/README.md": "configuration.md",
    "results/README.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
QUOTED = {"LICENSE": ("license.md", "License"), "CITATION.cff": ("citation.md", "How to cite")}
WIDE = ("index.md", "slides.md")  # alone under their tabs, and with wide tables
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]*)")
GROUPS = {  # of the API; modules that no group names come last
    "In a notebook": ["cell"],
    "The system": ["system", "traps", "symmetry", "groups"],
    "Flows": ["flows", "bases", "family", "inverse", "eigenvalues"],
    "Training": ["train", "checkpoint", "snapshots", "device", "progress"],
    "Monte Carlo": ["reference", "mcmc", "ladder"],
    "Judging a flow": ["estimate", "audit", "labels", "free_energy", "bounds", "sandwich"],
    "Annealing": ["annealing", "narrowing"],
    "Error bars": ["stats", "coverage", "problems"],
    "Tables": ["tables", "summary", "comparison", "provenance", "watching"],
    "What is drawn": ["panels", "shells", "molecules", "frames", "overlap", "grids", "curves"],
    "Figures": ["plotting", "captions", "densities", "correlation", "climbing", "rungs", "warped"],
    "Films, albums, pages": ["evolution", "gallery", "pages", "sketch"],
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The API's part of the navigation."""
    sections = [
        {title: [{name.removeprefix("qdflow."): _place(name)} for name in names]}
        for title, names in grouped().items()
    ]
    for entry in config.nav or []:
        if "API" in entry:
            entry["API"] = ["api/index.md", *sections]
    config.watch.append(str(ROOT / "qdflow"))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them all."""
    for source, place in PAGES.items():
        if (ROOT / source).exists():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, place, content=text))
    for source, (place, title) in QUOTED.items():
        quoted = (ROOT / source).read_text(encoding="utf-8")
        text = f"# {title}\n\n```\n{quoted}```\n"
        files.append(File.generated(config, place, content=text))
    for name in modules():
        text = f"# {name}\n\n::: {name}\n"
        files.append(File.generated(config, _place(name), content=text))
    files.append(File.generated(config, "api/index.md", content=overview()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of the repository as links of the site."""
    place = page.file.src_uri
    if place in WIDE:
        page.meta["hide"] = ["navigation"]
    sources = {place: source for source, place in PAGES.items()}
    source = sources.get(place, f"docs/{place}")

    def moved(link: re.Match[str]) -> str:
        target = normpath(join(dirname(source), link[1]))
        return relpath(_moved(target), dirname(place) or ".") if link[1] else ""

    return markdown if place.startswith("api/") else LINK.sub(moved, markdown)


def _moved(target: str) -> str:
    """Where a file of the repository is on the site."""
    if target in PAGES:
        return PAGES[target]
    if target in QUOTED:
        return QUOTED[target][0]
    if target.endswith(".py") and (name := target[:-3].replace("/", ".")) in modules():
        return _place(name)
    return target.removeprefix("docs/")


def modules() -> dict[str, Path]:
    """Every public module of the library by its full name."""
    files = sorted((ROOT / "qdflow").rglob("*.py"))
    named = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }
    hidden = re.compile(r"qdflow$|.*\._|qdflow\.(cli|views|public)$")
    return {name: path for name, path in named.items() if not hidden.match(name)}


def grouped() -> dict[str, list[str]]:
    """All of them by what they are for."""
    names = list(modules())
    found = {title: [f"qdflow.{name}" for name in group] for title, group in GROUPS.items()}
    for title, package in (("Flows", "qdflow.flows"), ("The system", "qdflow.traps")):
        place = found[title].index(package) + 1
        found[title][place:place] = [name for name in names if name.startswith(f"{package}.")]
    placed = {name for group in found.values() for name in group}
    return found | {"The rest": [name for name in names if name not in placed]}


def overview() -> str:
    """The API at a glance: what `from qdflow import` gives, and what each module is for."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules().items()}
    about = {name: ast.get_docstring(ast.parse(text)) for name, text in texts.items()}
    lines = ["# API", "", INTRODUCTION, "", "| name | from |", "|---|---|"]
    lines += [f"| [`{n}`][{w}.{n}] | [`{w}`]({_link(w)}) |" for n, w in _public().items()]
    for title, names in grouped().items():
        lines += ["", f"## {title}", "", "| module | what it is for |", "|---|---|"]
        lines += [f"| [`{n}`]({_link(n)}) | {_first(about[n] or '')} |" for n in names]
    return "\n".join(lines) + "\n"


INTRODUCTION = """\
Shapes are written behind a name, as in x (size, n, 2): `size` configurations of n electrons in the
plane. Lengths, energies and temperatures are in the units in which the trap's strength and the
electron's charge are 1; beta is in the inverse of the energy unit, entropies and specific heats are
in Boltzmann's constant. Every estimate is an [`Estimate`][qdflow.stats.Estimate]: mean, standard
error, effective sample size.

From `qdflow` itself, imported when they are asked for:"""


def _public() -> dict[str, str]:
    """The table of `qdflow.public`, read without importing anything."""
    tree = ast.parse((ROOT / "qdflow/public.py").read_text(encoding="utf-8"))
    (table,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    return ast.literal_eval(table)


def _first(docstring: str) -> str:
    """The first paragraph on one line, fit for a cell of a table."""
    text = " ".join(docstring.split("\n\n")[0].split())
    return text.replace("|", "\\|").replace("<", "&lt;")


def _place(name: str) -> str:
    return f"api/{name.removeprefix('qdflow.').replace('.', '-')}.md"


def _link(name: str) -> str:
    return _place(name).removeprefix("api/")
