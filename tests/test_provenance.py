import shutil

import pytest

from qdflow import provenance
from qdflow.provenance import closure, code_hash

FILES = {
    "pkg/__init__.py": '"""Nothing."""',
    "pkg/a.py": "from pkg.sub import b\n\n\ndef f(x):\n    '''Doc.'''\n    return b.g(x)  # why\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/b.py": "import numpy\nfrom ..c import h\n\n\ndef g(x):\n    return h(x)\n",
    "pkg/c.py": "def h(x):\n    return x + 1\n",
    "pkg/unused.py": "X = 1\n",
    "script.py": "import pkg.a\n\nprint(pkg.a.f(1))\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "pkg")
    return tmp_path


def hashed(tree, *more):
    provenance._hash.cache_clear()
    provenance._imports.cache_clear()
    return code_hash(tree / "script.py", *more)


def edit(tree, name, old, new):
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new))


def test_closure_follows_imports_of_every_form(tree):
    names = {str(p.relative_to(tree)) for p in closure(tree / "script.py")}
    assert names == set(FILES) - {"pkg/unused.py"}


def test_every_python_sees_the_same_code(tree):
    """Syntax trees differ between versions; results of one are finished with another."""
    assert hashed(tree) == "f24c801345e55bec"  # as 3.11, 3.12 and 3.13 say


def test_what_does_not_run_does_not_count(tree):
    before = hashed(tree)
    edit(tree, "pkg/a.py", "# why", "# another why")
    edit(tree, "pkg/a.py", "'''Doc.'''", "'''Other words.'''")
    edit(tree, "pkg/a.py", "def f(x):", "def f(\n    x,\n):")
    edit(tree, "pkg/__init__.py", "Nothing", "Still nothing")
    edit(tree, "pkg/unused.py", "1", "2")
    (tree / "pkg/c.py").touch()
    assert hashed(tree) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pkg/c.py", "x + 1", "x + 2"),
        ("script.py", "f(1)", "f(2)"),
        ("pkg/a.py", "b.g(x)", "-b.g(x)"),
    ],
)
def test_what_runs_counts_however_far(tree, name, old, new):
    before = hashed(tree)
    edit(tree, name, old, new)
    assert hashed(tree) != before


def test_a_module_named_at_run_time_has_to_be_named(tree):
    before = hashed(tree, tree / "pkg/unused.py")
    assert before != hashed(tree)
    edit(tree, "pkg/unused.py", "1", "2")
    assert hashed(tree, tree / "pkg/unused.py") != before


def test_the_folder_does_not_count(tree, tmp_path_factory, monkeypatch):
    before = hashed(tree)
    other = tmp_path_factory.mktemp("other") / "clone"
    shutil.copytree(tree, other)
    monkeypatch.setattr(provenance, "PACKAGE", other / "pkg")
    assert hashed(other) == before


def test_training_does_not_depend_on_error_bars():
    """Editing how errors are estimated must retrain nothing."""
    root = provenance.PACKAGE.parent
    files = {p.name for p in closure(root / "workflow/scripts/train.py")}
    assert "train.py" in files
    assert not files & {"stats.py", "free_energy.py", "summary.py", "reference.py", "mlp.py"}
