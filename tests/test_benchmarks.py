"""The comparison with the peers: its arithmetic by hand, its reports, and that every part of it fits the others."""

import ast
import importlib
import importlib.util
import itertools
import json
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasburst import records
from kerasburst.privacy.result import AuditResult
from kerasburst.profiling.bench import LimitRates
from kerasburst.profiling.measurement import Measurement
from kerasburst.profiling.works import WORKS

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = ("plan", "table", "sweep", "report", "check", "run", "trained_bursts", "private_table")


@pytest.fixture
def benchmarks(monkeypatch):
    """Import the scripts' modules as the scripts do, and forget them again."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


def measured(label, *step_ms, work="conv_train", num_steps=10, batch_size=128, **more):
    return Measurement.of_blocks(
        [{"seconds": ms / 1000} for ms in step_ms],
        steps_per_block=1,
        label=label,
        work=work,
        num_steps=num_steps,
        batch_size=batch_size,
        threads=2,
        versions={label: "1.0"},
        **more,
    )


def lost(label, work="conv_train", reason="killed by SIGKILL"):
    return Measurement(label=label, work=work, num_steps=10, batch_size=128, threads=2, reason=reason)


def test_comparisons_by_hand(benchmarks):
    table, plan = benchmarks("table"), benchmarks("plan")
    found = [
        measured("kerasburst", 300.0, 400.0, 310.0),
        lost("kerasburst mixed_bfloat16"),
        measured("snntorch", 600.0, 800.0, 620.0),
        measured("spikingjelly", 720.0, 960.0, 744.0),
    ]
    rows = {(row["of"], row["to"]): row for row in table.compare(plan.GROUPS["conv_train"], found)}
    assert len(rows) == 3  # norse was left out
    snntorch, jelly = rows["kerasburst", "snntorch"], rows["kerasburst", "spikingjelly"]
    assert snntorch["ratio_median"] == snntorch["ratio_q1"] == snntorch["ratio_q3"] == 2.0 and snntorch["met"]
    assert jelly["ratio_median"] == 2.4 and jelly["target_ratio"] == 2.5 and jelly["met"] is False
    bfloat16 = rows["kerasburst mixed_bfloat16", "snntorch"]
    assert bfloat16["ratio_median"] is None and bfloat16["met"] is None
    assert bfloat16["reason"] == "kerasburst mixed_bfloat16: killed by SIGKILL"


def test_the_limit_does_instead_of_the_ratio(benchmarks):
    table = benchmarks("table")
    found = [measured("kerasburst", 300.0), measured("snntorch", 330.0)]
    step = 128 * 0.414552  # GFLOP
    for share, met in ((0.95, True), (0.85, False)):
        limits = LimitRates(matmul_float32_gflop_per_s=step / 0.3 / share)
        result = table.group_json("conv_train", found, "digits", limits)
        assert result["measurements"][0]["share_of_limit_percent"] == pytest.approx(100 * share, abs=0.1)
        assert result["comparisons"][0]["met"] is met


def test_the_pipeline_against_the_bare_step(benchmarks):
    table = benchmarks("table")
    wait = Measurement.of_blocks(
        [{"seconds": 0.4, "wait_percent": 6.0}],
        steps_per_block=1,
        **{"label": "train_wait", "work": "train_wait", "num_steps": 10, "batch_size": 128, "threads": 2},
    )
    found = [measured("train_epoch", 420.0), measured("train_bare", 400.0), wait]
    overhead, waiting, saving = table.group_json("train", found, "digits", LimitRates())["more"]
    assert overhead["value_percent"] == 5.0 and overhead["met"] is True
    assert waiting["value_percent"] == 6.0 and waiting["met"] is False
    assert saving["value_s"] is None and saving["met"] is None


def test_memory_growth_by_hand(benchmarks, monkeypatch):
    table, plan = benchmarks("table"), benchmarks("plan")
    peaks = {"kerasburst": {10: 1200.0, 100: 3000.0}, "snntorch": {10: 800.0, 100: 4400.0}}

    def alone(p, **_):
        steps = p.options["num_steps"]
        return measured(p.label, 100.0, num_steps=steps, peak_rss_mb=peaks[p.label][steps])

    monkeypatch.setattr(table, "one_alone", alone)
    monkeypatch.setattr(table, "make_inputs", lambda *_, **__: "digits")
    settings = table.Settings(
        commands={name: ("python", name) for name in plan.PEERS},
        **{"variants": {}, "threads": 2, "repeats": 1, "quick": False, "bfloat16": True},
    )
    rows = table.measure_memory(settings, lambda _: None)["rows"]
    assert rows["snntorch"]["growth_mb_per_step"] == 40.0 and rows["snntorch"]["met"] is None
    assert rows["kerasburst"]["growth_mb_per_step"] == 20.0 and rows["kerasburst"]["share_of_snntorch"] == 0.5
    assert rows["kerasburst"]["met"] is True


def test_lines_of_the_sweep_by_hand(benchmarks):
    sweep = benchmarks("sweep")
    points = [
        {
            "batch_size": 128,
            "num_steps": steps,
            "measured_together": True,
            "measurements": [
                measured("kerasburst", 5.0 + 30.0 * steps, num_steps=steps, peak_rss_mb=800.0 + 20.0 * steps),
                measured("snntorch", 60.0 * steps, num_steps=steps),
            ],
        }
        for steps in (5, 10, 20)
    ]
    points.append({**points[0], "batch_size": 32, "num_steps": 10})
    kerasburst, snntorch = sweep.lines([sweep.point_json(point, LimitRates()) for point in points])
    assert kerasburst["step_ms_per_time_step"] == 30.0 and kerasburst["r_squared"] == 1.0
    assert kerasburst["last_to_first"] == round((605 / 20) / (155 / 5), 3)
    assert kerasburst["peak_rss_mb_per_time_step"] == 20.0
    assert snntorch["last_to_first"] == 1.0 and snntorch["peak_rss_mb_per_time_step"] is None


def test_formulas_of_the_check_by_hand(benchmarks):
    check = benchmarks("check")
    current = np.full((1, 3, 1), 1.5)
    # delayed: 1.5, then 0.75 + 1.5 - 1 = 1.25, then 0.625 + 1.5 - 1 = 1.125
    assert check.delayed(current, 0.5)[0, :, 0].tolist() == [1.0, 1.0, 1.0]
    weak = np.array([1.5, 0.7, 0.3])[None, :, None]
    # delayed: 1.5; 0.75 + 0.7 - 1 = 0.45. at once: 1.5, left 0.5; 0.25 + 0.7 = 0.95; 0.475 + 0.3
    assert check.delayed(weak, 0.5)[0, :, 0].tolist() == [1.0, 0.0, 0.0]
    strong = np.array([1.5, 0.8, 0.0])[None, :, None]
    # delayed: 0.75 + 0.8 - 1 = 0.55, silent. at once: 0.25 + 0.8 = 1.05, a spike
    assert check.delayed(strong, 0.5)[0, :, 0].tolist() == [1.0, 0.0, 0.0]
    assert check.at_once(strong, 0.5)[0, :, 0].tolist() == [1.0, 1.0, 0.0]


def test_reports(benchmarks, tmp_path):
    report, table, sweep = benchmarks("report"), benchmarks("table"), benchmarks("sweep")
    limits = LimitRates(matmul_float32_gflop_per_s=178.0, samples=3, lowest_share_percent=97.0)
    found = [measured("kerasburst", 300.0, 310.0, peak_rss_mb=900.0), lost("snntorch", reason="a | b")]
    lif = [measured("kerasburst", 100.0, work="lif"), measured("snntorch", 740.0, work="lif")]
    common = {
        "machine": {"cpu": None, "cores": 2, "memory_mb": None, "cpu_flags": None, "platform": "Linux"},
        **{"busy_machine": True, "load_average_before": 3.0, "limits": records.to_json(limits), "run_s": 12.0},
        "settings": {"quick": True, "threads": 2, "repeats": 2, "block_s": 1.0, "num_steps": 10},
        **{"versions": {"torch": "2.13.0"}, "stopped": "interrupted"},
    }
    row = {"peak_rss_mb_at_10_steps": 900.0, "step_ms_at_10_steps": None, "growth_mb_per_step": None}
    row |= {"share_of_snntorch": None, "target_share": 0.8, "met": None, "reason": "killed by SIGKILL"}
    groups = [table.group_json(name, m, "digits", limits) for name, m in (("conv_train", found), ("lif", lif))]
    results = {**common, "groups": groups, "memory": {"batch_size": 128, "rows": {"kerasburst": row}}}
    text = report.table_markdown(json.loads(json.dumps(results)))
    assert "smoke run" in text and "other work to do" in text and "Stopped early: interrupted" in text
    assert "| kerasburst / snntorch | unknown: snntorch: a / b |" in text
    assert "| kerasburst / snntorch | 7.40 | 7.40 - 7.40 | >= 7 | yes |" in text
    assert "share of the machine's limit: unknown % (at least 25 %: -)" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows and all(line.endswith("|") for line in rows)
    report.table_figure(results).savefig(tmp_path / "table.png")

    point = {"batch_size": 128, "num_steps": 10, "measured_together": False, "measurements": found}
    points = [sweep.point_json(point, limits)]
    swept = {**common, "points": points, "lines": sweep.lines(points)}
    assert "one after the other" in report.sweep_markdown(json.loads(json.dumps(swept)))
    report.sweep_figure(swept).savefig(tmp_path / "sweep.png")
    report.sweep_figure({**swept, "points": []}).savefig(tmp_path / "empty.png")
    assert (tmp_path / "table.png").stat().st_size > 1000


def test_a_smoke_run_judges_nothing(benchmarks):
    run = benchmarks("run")
    value = {"groups": [{"met": True, "more": [{"met": False, "value_s": 1.0}]}]}
    assert run._without_verdicts(value) == {"groups": [{"met": None, "more": [{"met": None, "value_s": 1.0}]}]}


def test_the_plan_fits_the_works_and_the_peers_scripts(benchmarks):
    plan = benchmarks("plan")
    for group in plan.GROUPS.values():
        labels = {*group.ours, *group.peers}
        assert {c.of for c in group.comparisons} | {c.to for c in group.comparisons} <= labels
        assert {WORKS[work].inputs for work in group.ours.values()} == {group.inputs}
        for library, work in group.peers.values():
            assert work in _works_of(library), (library, work)


def _works_of(library):
    """Give the keys of the builders that a peer's script serves; it cannot be imported without the library."""
    tree = ast.parse((FOLDER / "peers" / f"{library}_work.py").read_text())
    (call,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "serve"
    )
    return {key.value for key in call.args[1].keys}


def test_the_extra_pins_what_the_method_names():
    text = (FOLDER / "README.md").read_text()
    setup = (FOLDER.parent / "setup.cfg").read_text()
    for pin in ("torch==2.13.0", "snntorch==1.0.0", "spikingjelly==2.0.0", "norse==1.1.0"):
        assert pin in text and pin in setup


@pytest.mark.parametrize("library", ["snntorch", "spikingjelly", "norse"])
def test_peers_do_the_same_work(benchmarks, library):
    """Needs the library, which kerasburst does not: without it this is skipped."""
    for name in (library, "torch"):  # snntorch installs without torch, and does not import without it
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    command = (sys.executable, str(FOLDER / "peers" / f"{library}_work.py"))
    rows = benchmarks("check").check({library: command}, threads=1)
    assert len(rows) == 5 and all(row["agrees"] for row in rows), rows


def test_the_power_of_arms_by_hand(benchmarks):
    power = benchmarks("gpu_power")

    def found(watts, seconds):
        return types.SimpleNamespace(
            **{"wall_s": seconds, "gpu_power_w": watts, "gpu_energy_j": watts * seconds},
            **{"gpu_utilisation_percent": 50.0, "reasons": {}},
        )

    steady = power.line(0, "rate_regular", "pipeline", found(250.0, 20.0), 500_000, 100.0)
    starved = power.line(0, "poisson_burst", "pipeline", found(200.0, 20.0), 320_000, 100.0)
    assert steady["mj_per_example"] == 10.0 and steady["mj_above_idle"] == 6.0  # 5 kJ, 3 kJ
    assert starved["mj_per_example"] == 12.5 and starved["examples_per_s"] == 16_000.0
    told = power.ratios([steady, starved], "poisson_burst", "pipeline")
    assert told.startswith("gpu_w x 0.800 to 0.800, mj_per_example x 1.250 to 1.250, mj_above_idle x 1.042 to 1.042")
    assert power.ratios([starved], "poisson_burst", "pipeline").startswith("gpu_w unknown")


def test_the_page_on_trained_bursts_says_what_its_audits_found(benchmarks):
    docs = FOLDER.parent / "docs"
    folder = docs / "reproduction" / "trained_bursts"
    audits = [records.load(AuditResult, folder / f"seed-{seed}" / "audit.json") for seed in range(4)]
    assert [audit.valid for audit in audits] == [True, True, False, True]
    means = benchmarks("trained_bursts").mean_differences([audit for audit in audits if audit.valid])
    arms = {
        "fixed": "poisson_burst",
        "trained": "poisson_burst:trainable=true",
        "trained against an attacker": "adversary:weight=1,encoding=poisson_burst,trainable=true",
    }
    page = (docs / "trained.md").read_text()
    for first, second in itertools.combinations(arms, 2):
        row = next(line for line in page.splitlines() if line.startswith(f"| {first} minus {second} |"))
        cells = [cell.strip() for cell in row.split("|")]
        for at, cell in (("test_accuracy", cells[2]), ("gap", cells[4])):
            mean, low, high = means[arms[first], arms[second], at]
            assert cell == f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def test_the_page_on_private_training_says_what_its_audit_found(benchmarks, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())  # the script sets one where there is none
    table = benchmarks("private_table")
    docs = FOLDER.parent / "docs"
    audit = records.load(AuditResult, docs / "reproduction" / "private" / "seed-0" / "audit.json")
    lines = (docs / "private.md").read_text().splitlines()
    names = {"rate": "rate", "Poisson-Burst": "poisson_burst", "Delayed-Burst": "delayed_burst"}
    for (shown, name), epsilon in itertools.product(names.items(), (1, 3, 8, None)):
        start = f"| {shown} | {'none' if epsilon is None else epsilon} |"
        cells = [cell.strip() for cell in next(line for line in lines if line.startswith(start)).split("|")]
        accuracies, aucs, bounds, certified = table.row([audit], table.arm_name(name, epsilon))
        assert certified == epsilon
        assert [cells[3], *cells[5:7]] == [table.shown(accuracies, 100, 1), table.shown(aucs), f"{bounds[0]:.2f}"]
