"""kerasburst report as a user meets it."""

from tests.cli.test_bad_input import assert_refused
from tests.reports.test_collection import RUN, write


def test_a_page_of_what_is_there(kerasburst, tmp_path):
    write(tmp_path / "runs" / "a" / "result.json", RUN, {"dataset": "iris", "encoding": "rate"})
    write(tmp_path / "runs" / "b" / "result.json", RUN, {"dataset": "iris", "encoding": "rate"})
    outcome = kerasburst("report", "runs")
    assert (outcome.code, outcome.out, outcome.err) == (0, "2 runs\nwritten to runs/report.html\n", "")
    assert 'href="a/result.json"' in (tmp_path / "runs" / "report.html").read_text()
    assert kerasburst("report", "runs/a", "runs/b", "--out", "page.html", "--quiet").out == "written to page.html\n"
    assert 'href="runs/b/result.json"' in (tmp_path / "page.html").read_text()


def test_what_cannot_be_read_is_told(kerasburst, tmp_path):
    write(tmp_path / "a" / "result.json", RUN)
    (tmp_path / "audit.json").write_text("{")
    outcome = kerasburst("report", ".")
    assert outcome.code == 0 and outcome.err.startswith("not shown: audit.json must hold JSON")


def test_report_refuses(kerasburst, tmp_path):
    assert_refused(kerasburst("report"), "DIR must be given")
    assert_refused(kerasburst("report", "absent"), "absent is not there")
    assert_refused(kerasburst("report", "."), "DIR must hold results")
    assert list(tmp_path.iterdir()) == []
