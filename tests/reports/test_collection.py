import html.parser
import json
import re

import pytest
from markupsafe import escape
from matplotlib.axes import Axes

from kerasburst.paper.judging import RULES
from kerasburst.registry import STUDIES, register
from kerasburst.reports.collection import MARK, find, write_collection
from kerasburst.reports.palette import encoding_styles
from kerasburst.reports.table import table_of
from kerasburst.reports.view import StudyView
from kerasburst.validation import InputError
from tests.reports.test_reproduction import reproduction
from tests.reports.test_sweep import both

RUN = {
    "test_accuracy": 0.931,
    "test_accuracy_interval": [0.92, 0.94],
    "train_accuracy": 0.99,
    "examples": {"train": 200, "validation": 0, "test": 500},
    "firing_rates": {"input": 0.25},
    "epochs": 5,
    "seed": 3,
    "train_seconds": 12.5,
    "warnings": ["layer <hidden> is silent"],
}
ATTACK = {"name": "lira_online", "queries": 4, "auc": 0.643, "auc_interval": [0.61, 0.67]}
AUDIT = {
    "protocol": "audit",
    "valid": False,
    "data": {"name": "mnist"},
    "controls": [
        {"name": "planted_leak", "ok": True, "encoding": "rate", "interval": [0.8, 1.0]},
        {"name": "planted_leak", "ok": False, "encoding": "delayed_burst"},
    ],
    "encodings": {
        "rate": {"test_accuracy": 0.8, "train_accuracy": 1.0, "attacks": [ATTACK]},  # of an older version
        "delayed_burst": {
            "test_accuracy": 0.8,
            "test_accuracy_interval": [0.708, 0.873],
            "train_accuracy": 0.95,
            "train_accuracy_interval": [0.9, 0.98],
            "attacks": [ATTACK],
        },
    },
}
ARMS = {"scratch": [0.9, 0.92], "transfer": [0.91, 0.95], "control": [0.5, 0.6]}
TRANSFER = {
    "freeze": "conv",
    "budget": {},
    "seeds": [0, 1],
    "data": {"source": {"name": "mnist"}, "target": {"name": "fashion_mnist"}},
    "encodings": {
        "rate": {**ARMS, "difference": 0.02, "difference_interval": [-0.1, 0.14], "over_control": 0.38}
        | {"over_control_interval": None}
    },
}
PROFILE = {
    "encodings": {
        "rate": {
            "wall_s": 2.5,
            "spread": {"wall_s": [2.0, 3.0]},
            "gpu_power_w": None,
            "cpu_energy_j": None,
            "reasons": {"gpu_power_w": "no GPU", "cpu_energy_j": "no RAPL"},
        },
        "delayed_burst": {
            "wall_s": 3.0,
            "gpu_power_w": None,
            "cpu_energy_j": 5.0,
            "reasons": {"gpu_power_w": "no GPU"},
        },
    }
}


def write(path, value, config=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    if config is not None:
        (path.parent / "config.json").write_text(json.dumps(config))


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "runs"
    sweep = both() | {"seeds": [0, 1, 2], "data": {"name": "iris"}}
    sweep["config"]["train"] = {"encoding": "poisson_burst"}
    accuracy = {"mean": -0.02, "interval": [-0.03, 0.01], "seeds": 2}
    effect = {"parameter": "encoder.burst_interval", "value": 5, "against": 2, "pairs": 1, "of": 2}
    sweep["effects"] = [effect | {"estimates": {"test_accuracy": accuracy}}]
    write(folder / "a run" / "result.json", RUN, {"dataset": "iris", "encoding": "rate"})
    write(folder / "audit" / "audit.json", AUDIT)
    write(folder / "transfer" / "transfer.json", TRANSFER)
    write(folder / "sweep" / "sweep.json", sweep)
    write(folder / "sweep" / "point-0000" / "seed-0" / "result.json", RUN)
    write(folder / "profile" / "profile.json", PROFILE)
    write(folder / "r" / "reproduction.json", reproduction())
    write(folder / "r" / "audit" / "mnist" / "seed-0" / "audit.json", AUDIT)
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the drawings, which take most of a page's time."""
    monkeypatch.setattr("kerasburst.reports.collection._drawn", lambda *_: [])


class Reader(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.links, self.rows = [], [], []
        self.feed(page.replace("<wbr>", ""))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if self.rows and data.strip():
            self.rows[-1].append(data.strip())


def test_a_run_with_another_config_beside_it_is_named_and_not_shown(tmp_path, undrawn):
    known = {"dataset": "iris", "encoding": "rate", "neuron": {"beta": 0.9}, "seed": 3, "epochs": 5}
    write(tmp_path / "runs/a/result.json", {**RUN, "config": known}, {**known, "epochs": 6, "neuron": {}})
    write(tmp_path / "runs/b/result.json", {**RUN, "config": known}, {**known, "encoding": "poisson_burst"})
    page, counts, problems = write_collection([tmp_path / "runs"], tmp_path / "r.html")
    assert counts["run"] == 1 and "poisson_burst" not in Reader(page.read_text()).rows[1]
    said = "config.json: encoding must be 'rate', as in result.json, received 'poisson_burst'"
    assert problems == [f"{tmp_path}/runs/b/result.json: {said}"]


def test_an_accuracy_outside_its_interval_is_not_shown(tmp_path):
    write(tmp_path / "runs/a/result.json", {**RUN, "test_accuracy": 0.99})
    assert find([tmp_path / "runs"], tmp_path)[1] == [
        f"{tmp_path}/runs/a/result.json: test_accuracy must be in its interval [0.92, 0.94], received 0.99"
    ]


@pytest.mark.parametrize("accuracy", [93.1, -0.1, float("nan")])
def test_an_accuracy_that_is_no_share_is_not_shown(tmp_path, accuracy):
    write(tmp_path / "runs" / "a" / "result.json", {**RUN, "train_accuracy": accuracy})
    write(tmp_path / "runs" / "b" / "result.json", RUN)
    items, problems = find([tmp_path / "runs"], tmp_path)
    assert [item.label for item in items] == ["runs/b"]
    assert problems == [f"{tmp_path}/runs/a/result.json: train_accuracy must be from 0 to 1, received {accuracy}"]


def test_everything_is_found_once_and_a_sweep_s_points_are_not(results):
    items, problems = find([results, results / "audit"], results)
    assert sorted((item.kind, item.inside) for item in items) == [
        ("audit", False),
        ("audit", True),
        ("profile", False),
        ("reproduction", False),
        ("run", False),
        ("sweep", False),
        ("transfer", False),
    ]
    assert not problems


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_every_figure_with_interval_and_link(results, tmp_path):
    path, counts, problems = write_collection([results], tmp_path / "pages" / "report.html")
    assert counts == {"reproduction": 1, "sweep": 1, "audit": 2, "transfer": 1, "run": 1, "profile": 1}
    assert not problems
    page = path.read_text()
    read = Reader(page)
    assert "../runs/a%20run/result.json" in read.links and "../runs/r/reproduction.json" in read.links
    assert all((path.parent / link.replace("%20", " ")).resolve().exists() for link in read.links)
    rows = [" | ".join(row) for row in read.rows]
    # 198 of 200: Wilson's interval
    assert any("iris | rate | 3 | 93.1 | 92.0 to 94.0 | 99.0 | 96.4 to 99.7 | 0.250 | 5 | 12.5" in row for row in rows)
    assert any("0.643 | 0.610 to 0.670" in row for row in rows)
    broken = "delayed_burst | not to be used | planted_leak failed | 80.0 | 70.8 to 87.3 | 95.0 | 90.0 to 98.0 | –"
    assert any(broken in row for row in rows)
    assert any("rate | all hold | 80.0 | 100.0 | 0.643 | 0.610 to 0.670" in row for row in rows)
    # Student's t over two seeds: 0.91 +- 12.706 * 0.01
    arms = "91.0 | 78.3 to 100.0 | 93.0 | 67.6 to 100.0 | 55.0 | 0.0 to 100.0"
    assert any(f"{arms} | +2.0 | -10.0 to +14.0 | +38.0" in row for row in rows)
    assert any(row.startswith("2 | 1 | 0.900 | 0.890 to 0.910") and "on the front" in row for row in rows)
    assert any("0.700 | 0.690 to 0.710 | 0.650 | 0.640 to 0.660" in row for row in rows)  # at both K
    effect = "burst interval | 2 | 5 | 1 of 2 | -0.020 | -0.030 to +0.010, 2 of 3 seeds"
    assert any(row.startswith(effect) for row in rows)
    assert any("2.5 | 2 to 3 | – | no RAPL" in row for row in rows)
    assert any("delayed_burst | 3 | 5" in row for row in rows)
    assert "Without any figure: GPU power, W: no GPU." in page
    verdict = "supported, confounded | audit: lira_online at K = 4; mnist; seeds 0, 1, 2 | +0.030 | +0.005 to +0.055"
    assert any(verdict in row for row in rows)
    assert all(f"<li>{escape(rule)}</li>" in page for rule in RULES)
    assert "&lt;hidden&gt;" in page and "<hidden>" not in page
    assert page.index("What was found") < page.index("The paper&#39;s claims") < page.index("Training runs")


def test_the_page_asks_no_other_host(results, tmp_path):
    page = write_collection([results], tmp_path / "report.html")[0].read_text()
    assert page.count("<svg") > 8 and MARK in page
    without_names = re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)|<link|<img|src=", without_names)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_figures_that_are_not_to_be_used_are_not_drawn(results, tmp_path, monkeypatch):
    drawn = []
    draw = Axes.errorbar
    monkeypatch.setattr(Axes, "errorbar", lambda *a, **o: drawn.append(o.get("color")) or draw(*a, **o))
    (tmp_path / "out").mkdir()
    write_collection([results / "audit"], tmp_path / "out" / "report.html")
    assert len(drawn) == 1  # rate coding; Delayed-Burst's control failed


@pytest.mark.usefixtures("undrawn")
def test_a_sweeps_headline_says_of_how_many_seeds(results, tmp_path):
    path = results / "sweep" / "sweep.json"
    sweep = json.loads(path.read_text())
    best = max(sweep["points"], key=lambda p: p["estimates"].get("test_accuracy", {"mean": 0})["mean"])
    best["estimates"]["test_accuracy"]["seeds"] = 1
    path.write_text(json.dumps(sweep))
    page = write_collection([results], tmp_path / "report.html")[0].read_text()
    assert "AUC 0.700 (0.690 to 0.710), of 1 of 3 seeds;" in page


@pytest.mark.usefixtures("undrawn")
def test_summary_has_what_stands_alone(results, tmp_path):
    page = write_collection([results], tmp_path / "report.html")[0].read_text()
    summary = page[page.index('class="found"') : page.index("</ul>")]
    assert summary.count("<li>") == 6  # the reproduction's audit is its part
    assert "2 claims: 1 supported, confounded (poisson_auc); 1 not measurable here (poisson_power)" in summary
    at = "at burst interval 2, mean burst size"
    assert f"most accurate {at} 1: accuracy 0.900 (0.890 to 0.910), AUC 0.700 (0.690 to 0.710)" in summary
    assert f"least AUC, K = 4, {at} 3: accuracy 0.800 (0.790 to 0.810), AUC 0.600 (0.590 to 0.610)" in summary
    assert "mnist, audit: partly valid; rate AUC 0.643 (0.610 to 0.670) at K = 4, accuracy 80.0 %; delayed" in summary
    assert "points over training from scratch: rate +2.0 (-10.0 to +14.0)" in summary


@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_read_is_told_and_takes_nothing_with_it(results, tmp_path):
    (results / "audit" / "audit.json").write_text("{")
    write(results / "old" / "result.json", {"test_accuracy": 1, "test_accuracy_interval": None, "epochs": 1})
    write(results / "other" / "result.json", {"another": "program"})
    path, counts, problems = write_collection([results], tmp_path / "report.html")
    assert counts["audit"] == 1 and counts["run"] == 1 and len(problems) == 2
    assert any("audit.json must hold JSON" in p for p in problems) and any("old/result.json" in p for p in problems)
    assert "Not shown." in path.read_text()


@pytest.mark.usefixtures("undrawn")
def test_every_damaged_file_is_named(results, tmp_path):
    damaged = {name: results / name / "audit.json" for name in ("list", "null", "nothing", "circle", "folder")}
    for name, file in damaged.items():
        file.parent.mkdir()
        (file.parent / "config.json").write_text("{}")
        if name == "circle":
            file.symlink_to(file.name)
        elif name == "folder":
            file.mkdir()
        else:
            file.write_text({"list": "[1, 2]", "null": "null", "nothing": "{}"}[name])
    _, counts, problems = write_collection([results], tmp_path / "report.html")
    assert len(problems) == len(damaged) and counts["run"] == 1 and counts["audit"] == 2
    for file in damaged.values():
        assert [str(file) in problem for problem in problems].count(True) == 1


@pytest.mark.usefixtures("undrawn")
def test_a_page_may_be_written_again_and_nothing_else_is_replaced(results, tmp_path):
    path = write_collection([results], tmp_path / "report.html")[0]
    write_collection([results], path)
    mine = tmp_path / "mine.html"
    mine.write_text("<html>mine</html>")
    with pytest.raises(InputError, match="--out must be new or a page of kerasburst report"):
        write_collection([results], mine)
    with pytest.raises(InputError, match="is a folder"):
        write_collection([results], tmp_path)
    assert mine.read_text() == "<html>mine</html>"


def test_folders_without_results_are_refused(tmp_path):
    with pytest.raises(InputError, match="DIR must hold results"):
        write_collection([tmp_path], tmp_path / "report.html")
    with pytest.raises(InputError, match="absent is not there"):
        write_collection([tmp_path / "absent"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_label_leaves_out_what_leads_to_all_folders(results, monkeypatch):
    one, _ = find([results / "audit"], results)
    two, _ = find([results / "audit", results / "r"], results)
    assert [item.label for item in one] == ["audit"]
    assert [item.label for item in two] == ["audit", "r", "r/audit/mnist/seed-0"]
    monkeypatch.chdir(results)
    assert {item.label for item in find(["."], results)[0]} >= {"runs/a run", "runs/r/audit/mnist/seed-0"}


@pytest.mark.usefixtures("undrawn")
def test_a_strangers_study_appears_when_its_view_is_registered(results, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASBURST_PLUGINS", "")
    monkeypatch.setattr(STUDIES, "_entries", dict(STUDIES._entries))
    rows = [["ours", 4], ["theirs", 5]]
    view = StudyView(
        "Timings",
        "timing.json",
        ("seconds",),
        headline=lambda item: f"took {item.value['seconds']} s",
        tables=lambda items: [table_of(["arm", "seconds"], rows)],
    )
    register("study", "timing", view)
    write(results / "t" / "timing.json", {"seconds": 9})
    write(results / "other" / "timing.json", {"minutes": 9})
    path, counts, problems = write_collection([results], tmp_path / "report.html")
    assert counts["timing"] == 1 and not problems
    page = path.read_text()
    assert "<h2>Timings</h2>" in page and "took 9 s" in page and ["ours", "4"] in Reader(page).rows


def test_a_new_encoder_has_a_style_of_its_own():
    styles = encoding_styles(["latency", "rate", "phase"])
    assert list(styles) == ["rate", "latency", "phase"]  # those of the registry first
    assert len({(style.colour, style.dash, style.marker) for style in styles.values()}) == 3
    assert styles["rate"] == encoding_styles(["rate", "delayed_burst"])["rate"]
