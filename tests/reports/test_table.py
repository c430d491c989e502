import pytest

from kerasburst.reports.table import (
    Cell,
    count,
    duration,
    estimate,
    markdown,
    number,
    over_seeds,
    span,
    table_of,
    terminal,
)

TABLE = table_of(
    ["attack", "AUC"],
    [
        ["loss|max", number(0.612, (0.58, 0.64))],
        ["rmia", number(None)],
        ["svm", Cell("", note="no [run]", mark="text")],
    ],
    title="figures",
    note="95 %",
)


def test_markdown_escapes_its_bars_and_brackets_notes():
    assert markdown(TABLE).splitlines() == [
        "| attack | AUC |",
        "| --- | --- |",
        "| loss\\|max | 0.612 (0.580 to 0.640) |",
        "| rmia | – |",
        "| svm | no [run] |",
    ]


def test_the_terminal_has_words_left_and_numbers_right():
    assert terminal(TABLE).splitlines() == [
        "figures",
        "attack                       AUC",
        "loss|max  0.612 (0.580 to 0.640)",
        "rmia                           –",
        "svm                     no [run]",
        "",
        "95 %",
    ]


def test_a_terminal_that_is_narrow_cuts_nothing(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert "x" * 300 in terminal(table_of(["long"], [["x" * 300]]))


def test_an_unknown_number_sorts_below_all_others():
    assert number(None).sort < number(-5.0).sort and number(None).text == "–"


def test_differences_have_their_sign_and_scale():
    assert estimate(0.0215, (-0.01, 0.05), 1, 100, "+") == "+2.1 (-1.0 to +5.0)"
    assert span(None) == "–" and estimate(0.5) == "0.500"


def test_means_over_seeds():
    # Student's t of 2 seeds: 0.91 +- 12.7062 * 0.01, cut at 1
    mean, (low, high) = over_seeds([0.9, 0.92])
    assert (mean, low, high) == (pytest.approx(0.91), pytest.approx(0.782938, abs=1e-6), 1.0)
    assert over_seeds([0.5]) == (0.5, None) and over_seeds([]) == (None, None)


def test_counts_and_durations():
    assert (count(1, "process", "processes"), count(0, "seed")) == ("1 process", "0 seeds")
    assert (duration(89), duration(5399), duration(5400)) == ("89 s", "90 min", "1.5 h")
