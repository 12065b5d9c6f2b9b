"""The report as its readers open it: in a browser, with nothing around it but itself."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from chromium import Page
from conftest import ROOT
from pipeline import SMOKE, succeed

from qdflow import tables
from qdflow.stats import Estimate
from qdflow.summary import COLUMNS, pick

CHROMIUM = "chromium-headless-shell"
PNG = "document.querySelector('img[src^=\"data:image/png\"]')"
FIGURES = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())["figures"]
CATEGORIES = {
    "the talk": "1. the talk",
    "symmetry": "2. symmetry",
    "trust": "3. trust",
    "beyond the talk": "4. beyond the talk",
}
TABLE = "5. all numbers"


def in_category(category):
    """The titles of its figures."""
    return {
        spec["title"]
        for spec in FIGURES.values()
        if spec.get("category", "beyond the talk") == category
    } | ({f"{FIGURES['evolution']['title']} (film)"} if category == "beyond the talk" else set())


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    """The report of the smoke run, alone in a folder, made without a network."""
    folder = tmp_path_factory.mktemp("report")
    path, clone = folder / "report.html", folder / "qdflow"
    # others may be running snakemake there
    shutil.copytree(finished, clone, ignore=shutil.ignore_patterns("locks"))
    unreachable = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    succeed(clone, *SMOKE, "--report", str(path), **unreachable)
    return path


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    """The report in a browser."""
    if "QDFLOW_TEST_CHROMIUM" not in os.environ:
        pytest.skip("needs Chromium; run make test-report, which installs it")
    assert shutil.which(CHROMIUM), f"{CHROMIUM} is not installed; run tests/chromium.sh as root"
    page = Page(CHROMIUM, tmp_path_factory.mktemp("chromium"))
    page.open(report.as_uri())
    page.until("document.querySelectorAll('#rulegraph canvas, #rulegraph svg').length")
    yield page
    page.close()


@pytest.fixture
def screenshot(page):
    """Keep what the reader sees, if a folder for it is named."""
    folder = os.environ.get("QDFLOW_SCREENSHOTS")

    def keep(name):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(Path(folder) / f"{name}.png")

    return keep


def held(report, name):
    """What the report holds under one name of its script."""
    return json.loads(re.search(rf"^    var {name} = (.*);$", report.read_text(), re.M)[1])


def numbers(finished, cell, beta):
    summary = tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS)
    same = (summary["system"] == "dot-3") & (summary["beta"] == beta)
    return summary[same & (summary["cell"] == cell)]


def test_every_figure_is_in_its_category_with_a_caption(report):
    shown, categories = held(report, "results"), held(report, "categories")
    assert set(categories) == {*CATEGORIES.values(), TABLE}
    for category, name in CATEGORIES.items():
        (paths,) = categories[name].values()
        assert {shown[path]["labels"]["figure"] for path in paths} == in_category(category)
    for path, entry in shown.items():
        assert len(entry["caption"]) > 150, path
        assert "system-message" not in entry["caption"], path


def test_captions_quote_the_tables(report, finished):
    caption = held(report, "results")["results/smoke/figures/final-result.png"]["caption"]
    flow, exact = (pick(numbers(finished, cell, 10), "F") for cell in ("talk-cold", ""))
    assert f"is {exact}; F of flow is {flow}, {flow.minus(exact)} above exact" in caption


def test_the_page_names_nothing_outside_of_itself(report):
    """As text; whether it asks for anything once it runs, the browser says below."""
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(report.read_text())
    assert {"script", "style", "div"} <= {tag for tag, _ in tags}
    assert not [tag for tag, attributes in tags if {"src", "href"} & set(attributes)]


def click(page, text):
    """On the link with this text."""
    links = "[...document.querySelectorAll('a')]"
    page.until(f"{links}.some(a => a.innerText.trim() === {json.dumps(text)})")
    page.run(f"{links}.find(a => a.innerText.trim() === {json.dumps(text)}).click()")


def listed(page):
    """The names in the table of a category."""
    rows = "[...document.querySelectorAll('tbody tr td:first-child')]"
    return set(page.until(f"{rows}.map(cell => cell.innerText.trim())"))


def press(page, name, which):
    """The eye (0) or the i (1) beside this name."""
    row = f"[...document.querySelectorAll('tbody tr')].find(r => r.innerText.includes({name!r}))"
    page.until(f"!!{row}")
    page.run(f"{row}.querySelectorAll('a')[{which}].click()")


def test_it_opens_with_the_graph_of_rules(page, screenshot):
    text = page.run("document.body.innerText")
    assert "qdflow: electrons in a quantum dot" in text
    assert "10 cells in 3 systems" in text
    screenshot("1-opened")
    assert page.complaints == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_lists_its_figures_and_shows_them(page, screenshot, category):
    page.run("app.setView({navbarMode: 'menu'})")
    click(page, CATEGORIES[category])
    page.until("document.querySelectorAll('tbody tr').length")
    names = listed(page)
    assert names == in_category(category)
    for name in sorted(names):
        press(page, name, 0)
        if name.endswith("(film)"):
            page.until("!!document.querySelector('iframe')")
            continue
        page.until(f"({PNG} || {{}}).complete && {PNG}.naturalWidth > 500")
        assert page.run(f"new Set({_pixels()}).size") > 50, name  # it is no empty image
    press(page, name, 1)
    page.until("!!document.querySelector('.prose-invert')")
    screenshot(f"2-{category.replace(' ', '-')}")
    caption = page.run("document.querySelector('.prose-invert').innerText")
    assert re.search(r"\d\(\d+\)", caption), caption  # a number with its error
    assert page.complaints == []


def _pixels():
    """The colours of the image that is shown, as the browser has drawn it."""
    return f"""(() => {{
        const image = {PNG}, canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    }})()"""


def test_all_numbers_can_be_searched_and_sorted(page, finished, screenshot):
    page.run("app.setView({navbarMode: 'menu'})")
    click(page, TABLE)
    press(page, "summary", 0)
    page.until("!!document.querySelector('iframe')")
    screenshot("3-numbers")
    assert page.complaints == []
    page.open((finished / "results/smoke/summary.html").as_uri())
    total = len(tables.read(finished / "results/smoke/summary.parquet", "summarize", COLUMNS))
    rows = "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden)"
    assert page.run(f"{rows}.length") == total
    page.run(
        "document.querySelector('input').value = 'talk-cold variational';"
        "document.querySelector('input').dispatchEvent(new Event('input'))"
    )
    cold = numbers(finished, "talk-cold", 10)
    cold = cold[cold["method"] == "variational"]
    assert page.run(f"{rows}.length") == len(cold)
    assert (
        page.run("document.querySelector('output').textContent") == f"{len(cold)} of {total} rows"
    )
    heads = page.run("[...document.querySelectorAll('th')].map(head => head.textContent)")
    page.run(f"document.querySelectorAll('th')[{heads.index('value')}].click()")
    shown = page.run(f"{rows}.map(row => row.cells[{heads.index('value')}].textContent)")
    by_value = cold.sort_values("mean")[["mean", "stderr", "ess"]].to_numpy()
    assert shown == [str(Estimate(*row)) for row in by_value]
    screenshot("4-searched")
    assert page.complaints == []


def test_a_complaint_is_seen(page):
    """The other tests would pass in a browser that says nothing."""
    page.open("data:text/html,<script>missing()</script><img src='http://127.0.0.1:9/x.png'>")
    page.run("console.error('spoken')")
    text = "\n".join(page.complaints)
    page.complaints.clear()
    assert "missing is not defined" in text
    assert "asks the network for http://127.0.0.1:9/x.png" in text
    assert "spoken" in text
