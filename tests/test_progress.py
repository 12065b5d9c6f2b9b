import io

import pytest

from qdflow import progress as module
from qdflow.progress import progress


def test_the_log_has_plain_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LINE_SECONDS", 0.0)
    log = tmp_path / "logs" / "job.log"
    with progress("train a", log) as report:
        report(1, 3, "F = 5")
        report(2, 3, "")
        report(3, 3, "F = 4")
    lines = log.read_text().splitlines()
    assert "\x1b" not in log.read_text()
    assert [line.split("  ")[2:4] for line in lines[1:4]] == [
        ["1/3", "F = 5"],
        ["2/3", "F = 5"],
        ["3/3", "F = 4"],
    ]
    assert lines[0].endswith("start")
    assert "done in" in lines[-1]


def test_lines_are_few(tmp_path):
    with progress("train b", tmp_path / "log") as report:
        for k in range(1000):
            report(k, 1001, "F = 5")
    assert len((tmp_path / "log").read_text().splitlines()) == 3  # start, first, done


def test_an_error_is_in_the_log(tmp_path):
    with pytest.raises(ValueError, match="too hot"), progress("train c", tmp_path / "log"):
        raise ValueError("too hot")
    assert "stopped: ValueError: too hot" in (tmp_path / "log").read_text()


def test_nothing_is_drawn_where_there_is_no_terminal(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with progress("train d", None) as report:
        report(1, 2, "F = 5")
    assert stream.getvalue() == ""


def test_a_terminal_sees_a_bar_with_news_and_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with progress("train e", None) as report:
        report(1, 4, "F = 5.25" + " and more" * 20)
    assert "train e" in stream.getvalue()
    assert "F = 5.25" in stream.getvalue()
    assert " 25%" in stream.getvalue()
    assert "-:--:--" in stream.getvalue()
