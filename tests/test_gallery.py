"""The album in docs/gallery: whole, stamped, small, and of the code as it is."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from oracles import two_electrons
from PIL import Image

from qdflow import gallery, tables
from qdflow.stats import Estimate
from qdflow.summary import COLUMNS

ALBUM = ROOT / "docs/gallery"


def test_every_picture_has_its_stamp_and_is_what_was_stamped():
    stamps = gallery.stamps(ALBUM)
    assert len(stamps) >= 20
    assert gallery.unknown(ALBUM) == []
    for name, one in stamps.items():
        assert gallery.digest(ALBUM / name) == one["sha256"], name
        assert re.fullmatch(r"[0-9a-f]{7,12}\+?", one["made"]["commit"]), name
        assert one["run"] in ("config", "best", "scale")


def test_it_is_small():
    sizes = [path.stat().st_size for path in ALBUM.iterdir()]
    assert sum(sizes) < 3e6
    assert max(sizes) < gallery.FILM_BYTES


def test_its_page_shows_them_all():
    page = (ALBUM / "README.md").read_text()
    assert set(re.findall(r"\]\(([^)]+\.(?:png|gif))\)", page)) == set(gallery.stamps(ALBUM))


def test_its_numbers_are_those_of_the_code_as_it_is(finished):
    """Where the smoke run has the same system: in sigma, of two runs and against quadrature."""
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    shared = gallery.agreement(gallery.numbers(ALBUM), summary)
    assert {"F", "E", "S", "C", "V", "V_ee"} <= set(shared["quantity"])
    assert shared["sigmas"].abs().max() < 4.5, shared
    two = shared[(shared["n"] == 2) & (shared["beta"] == 10)].set_index("quantity")
    for quantity, exact in zip("FE", two_electrons(10.0)):
        for side in "ab":
            assert abs(two.loc[quantity, side].sigmas_from(exact)) < 4.5, (quantity, side)


@pytest.fixture
def results(tmp_path, rng):
    """Of a small run: a summary and two figures."""
    folder = tmp_path / "results"
    (folder / "figures/captions").mkdir(parents=True)
    noise = rng.integers(0, 255, size=(6, 30, 3), dtype=np.uint8).repeat(50, 0).repeat(50, 1)
    Image.fromarray(noise).save(folder / "figures/one.png")
    Image.fromarray(noise[:, :200]).save(folder / "figures/two.png")
    (folder / "figures/captions/one.rst").write_text("F is 1.5\\*.\n")
    row = dict.fromkeys(COLUMNS, "") | {"n": 2, "trap": "harmonic", "beta": 10.0, "seed": 0}
    row |= {"method": "ladder", "quantity": "F", "ess": 9.0, "r_hat": 1.0, "verdict": "converged"}
    rows = [
        row | {"mean": 1.5, "stderr": 0.1},
        row | {"mean": np.nan, "stderr": np.nan, "method": "variational", "cell": "a"},
        row | {"mean": 1.0, "stderr": 0.1, "verdict": "failed: so", "cell": "b"},
    ]
    table = pd.DataFrame(rows)[list(COLUMNS)]
    tables.write(table, folder / "summary.parquet", COLUMNS, config={})
    return folder


FIGURES = {"one": {"title": "The first", "category": "trust", "code": "abc"}, "two": {}}


def test_a_run_is_put_beside_others_and_in_place_of_itself(results, tmp_path):
    album = tmp_path / "album"
    for run in ("first", "second", "second"):
        gallery.put(results, run, FIGURES, {"commit": "1234567"}, album)
    table = gallery.numbers(album)
    assert table["run"].tolist() == ["first", "second"]  # what failed or is no number stays out
    assert table["mean"].tolist() == [1.5, 1.5]
    stamps = gallery.stamps(album)
    assert {name: one["run"] for name, one in stamps.items()} == {
        "one.png": "second",
        "two.png": "second",
    }
    assert stamps["one.png"]["made"]["code"] == "abc"
    assert stamps["one.png"]["made"]["versions"]["pandas"] == pd.__version__
    with Image.open(album / "one.png") as picture:
        assert picture.size == (gallery.WIDTH, 180)
        assert len(picture.convert("RGB").getcolors()) <= gallery.SHADES
    with Image.open(album / "two.png") as picture:
        assert picture.size == (200, 300)
    page = gallery.page(album, ("trust", "beyond the talk"))
    assert "## Trust\n\n### The first\n\n![The first](one.png)\n\nF is 1.5*.\n" in page
    assert "code abc" in page
    (album / "stray.png").write_bytes(b"")
    (album / "two.png").unlink()
    assert gallery.unknown(album) == ["stray.png", "two.png"]


def test_the_farthest_number_is_found(results):
    summary = tables.read(results / "summary.parquet", "summarize", COLUMNS)
    album = gallery.chosen(summary, "one").assign(mean=3.0)
    (found,) = gallery.agreement(album, summary).itertuples()
    assert found.sigmas == pytest.approx(1.5 / np.hypot(0.1, 0.1))
    assert found.a == Estimate(3.0, 0.1, 9.0)
