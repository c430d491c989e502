"""The Pareto search: what Optuna is asked, which point is chosen, and on what data it is judged."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasburst import files, records
from kerasburst.data.datasets import load_source
from kerasburst.data.splits import make_splits
from kerasburst.privacy.lessons import load_pools
from kerasburst.privacy.splits import half_of
from kerasburst.studies.sweep.result import SeedFigures, pareto_front, sum_up
from kerasburst.studies.sweep.search import choose, load_optuna, next_point
from kerasburst.studies.sweep.space import Parameter, parse_parameter, sample
from kerasburst.studies.sweep.study import sweep
from kerasburst.study import Done
from kerasburst.validation import InputError
from tests.paper.common import RUN_FLEET, FleetHere, PretendAll
from tests.privacy.common import Pretend
from tests.studies.sweep.test_study import audited

TAU, MARGIN = parse_parameter("encoder.burst_interval=1:20"), parse_parameter("encoder.margin=1:20")


def figures(point):
    """A larger tau is learnt better and leaks more; a margin costs both: the front is where the margin is 1."""
    tau, margin = point[TAU.label], point[MARGIN.label]
    return 0.5 + 0.02 * tau - 0.01 * (margin - 1), 0.5 + 0.01 * tau + 0.01 * (margin - 1)


def search(trials, seed=0, told=()):
    told = list(told) or [({TAU.label: 10, MARGIN.label: 10}, figures({TAU.label: 10, MARGIN.label: 10}))]
    while len(told) < trials:
        point = next_point((TAU, MARGIN), told, seed)
        told.append((point, figures(point)))
    return told


def test_a_search_finds_a_known_front_reproducibly_and_goes_on_where_it_was_stopped():
    pytest.importorskip("optuna")
    told = search(40)
    assert len({tuple(point.values()) for point, _ in told}) == 40  # nothing twice
    on_front = sum(point[MARGIN.label] == 1 for point, _ in told)
    assert on_front >= 6  # 20 of the 400 points: 2 of 40 at random
    best = [told[i][0][MARGIN.label] for i in pareto_front([found for _, found in told])]
    assert np.mean(np.array(best) == 1) > 0.5
    assert search(40, told=told[:17]) == told
    assert search(14, seed=1)[1:] != told[1:14]


def test_what_failed_and_what_lies_outside_the_ranges_does_not_stop_a_search():
    pytest.importorskip("optuna")
    outside = ({TAU.label: 99, MARGIN.label: None}, (0.9, 0.5))
    point = next_point((TAU, MARGIN), [outside, ({TAU.label: 3, MARGIN.label: 3}, None)], 0)
    assert 1 <= point[TAU.label] <= 20 and 1 <= point[MARGIN.label] <= 20


def test_a_small_space_is_exhausted():
    pytest.importorskip("optuna")
    parameters, told = (Parameter("encoder", "margin", (2, 5)), Parameter("encoder", "mode", ("a", "b"))), []
    while point := next_point(parameters, told, 0, lambda point: point != {"encoder.margin": 5, "encoder.mode": "a"}):
        told.append((point, (0.5, 0.5)))
    assert sorted(tuple(point.values()) for point, _ in told) == [(2, "a"), (2, "b"), (5, "b")]


def test_a_logarithmic_range():
    whole, real = parse_parameter("train.num_steps=4:64:log"), parse_parameter("encoder.mean_burst_size=1.0:20:log")
    assert (whole.values[0], whole.values[-1], whole.log, real.low, real.high, real.log) == (4, 64, True, 1, 20, True)
    drawn = [value for (value,) in sample([real], 400, seed=0)]
    # half of them below the geometric mean
    assert all(1 <= value <= 20 for value in drawn) and abs(np.mean(np.array(drawn) < 20**0.5) - 0.5) < 0.1
    assert all(4 <= value <= 64 and isinstance(value, int) for (value,) in sample([whole], 20, seed=0))
    with pytest.raises(InputError, match="above 0 on a logarithmic scale, received 0"):
        parse_parameter("encoder.silence=0:8:log")
    pytest.importorskip("optuna")
    assert 1 <= next_point((real, whole), [], 0)[real.label] <= 20


def test_the_point_chosen_leaks_least_of_those_as_accurate_as_the_first():
    def point(accuracy, auc):
        return sum_up({}, [SeedFigures(seed=0, figures={"test_accuracy": accuracy, "audit_auc": auc})])

    none = sum_up({}, [SeedFigures(seed=0, figures={}, reason="it was not run")])
    assert choose([point(0.90, 0.60), point(0.95, 0.70), point(0.88, 0.55), point(0.87, 0.50)]) == 2
    assert choose([point(0.90, 0.60), point(0.95, 0.60)]) == 1  # of equals the more accurate
    assert choose([none, point(0.95, 0.70), point(0.94, 0.60), point(0.90, 0.50)]) == 2
    assert choose([none]) is None


def test_halves_share_no_example_and_are_the_same_for_every_order():
    x = np.random.default_rng(0).integers(0, 50, (400, 2))
    halves = [half_of(x, np.arange(400), half) for half in (0, 1)]
    assert sorted(np.concatenate(halves)) == list(range(400)) and min(map(len, halves)) > 100
    one, other = ({tuple(row) for row in x[half]} for half in halves)
    assert not one & other  # equal examples are in one half
    assert half_of(x, [7, 3], None).tolist() == [7, 3]
    assert set(half_of(x, np.arange(399, -1, -1), 0)) == set(halves[0])


def test_without_its_package_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"needs Optuna: pip install 'kerasburst\[search\]'"):
        load_optuna()
    with pytest.raises(InputError, match="needs Optuna"):
        sweep(audited(search="pareto"), tmp_path / "s")
    assert not (tmp_path / "s").exists()


class Leaking(PretendAll):
    """The first point's network, of tau = 2, leaks most, and all are as accurate."""

    def _audit(self, task):
        tau = files.read_json(Path(task.arguments["folder"], "config.json"))["train"]["encoder"]["burst_interval"]
        Pretend(leak={1: 1.0, 2: 3.0, 3: 0.0}[tau]).work(task)


def small(**changes):
    fields = {"search": "pareto", "samples": 3, "seeds": 2, "shadows": 4, "members": 40, "queries": (1,)}
    return audited("encoder.burst_interval=1:3", **(fields | changes))


@pytest.mark.thorough
def test_the_point_chosen_is_judged_on_the_half_that_chose_nothing(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(RUN_FLEET, Leaking())
    result, error = sweep(small(), tmp_path / "s")
    assert error is None and result.metrics == ("test_accuracy", "audit_auc")
    taus = [point.values["encoder.burst_interval"] for point in result.points]
    assert taus[0] == 2 and sorted(taus) == [1, 2, 3]  # the configuration as it is, then each other once
    assert taus[result.chosen] == 3 and result.versions["optuna"]
    judged = result.judged
    assert judged.chosen == result.chosen and judged.compared == 3
    assert [point.values["encoder.burst_interval"] for point in judged.points] == [3, 2]
    assert judged.difference["audit_auc"].mean < -0.2 and judged.difference["audit_auc"].seeds == 2
    assert judged.difference["audit_auc"].mean == pytest.approx(
        judged.points[0].estimates["audit_auc"].mean - judged.points[1].estimates["audit_auc"].mean
    )
    # All models are equally accurate here, at every epoch: no range of accuracies, and so no comparison over one.
    assert set(judged.by_seed) == {"0", "1"}
    # No example of a trial is one of the judged audits, whatever the seed.
    asked = {"point": set(), "judged": set()}
    source = load_source("breast_cancer")
    for kind, of_kind in asked.items():
        for folder in (tmp_path / "s").glob(f"{kind}-*/seed-*"):
            (splits,) = load_pools(folder)
            parts = (splits.audited, splits.shadow_pool, splits.population, splits.canaries, splits.test)
            of_kind |= {row.tobytes() for row in np.asarray(source.x)[np.concatenate(parts)]}
    assert asked["point"] and asked["judged"] and not asked["point"] & asked["judged"]
    # Paired: at each seed the audits have the same splits, and so the same members.
    for kind in asked:
        for seed in (0, 1):
            found = [load_pools(path)[0] for path in sorted((tmp_path / "s").glob(f"{kind}-*/seed-{seed}"))]
            assert len(found) == {"point": 3, "judged": 2}[kind]
            assert all(np.array_equal(each.audited, found[0].audited) for each in found)
            assert all(np.array_equal(each.targets, found[0].targets) for each in found)
            assert all(np.array_equal(each.shadows, found[0].shadows) for each in found)
    assert json.loads((tmp_path / "s" / "sweep.json").read_text()) == json.loads(json.dumps(records.to_json(result)))


class Cheap:
    """Stands for what begins a part: the figures follow from the point, and are on disk when it is done.

    Args:
        stop_after: number of audits after which it is interrupted.
    """

    def __init__(self, stop_after=None):
        self.ran, self.stop_after = [], stop_after

    def __call__(self, point, seed, folder, half):
        path, name = folder / "audit.json", f"{folder.parent.name}/{folder.name}"
        if not path.exists():
            if len(self.ran) == self.stop_after:
                raise KeyboardInterrupt
            self.ran.append((name, half, seed))
            folder.mkdir(parents=True)
            tau = point[TAU.label]
            attack = {"name": "lira_online", "queries": 1, "auc": 0.5 + 0.02 * tau + 0.001 * seed}
            found = {"test_accuracy": 0.9 - 0.02 * abs(tau - 2), "train_accuracy": 1.0, "attacks": [attack]}
            files.write_json(path, {"controls": [], "encodings": {"poisson_burst": found}})
        return Done(files.read_json(path))


def cheap(monkeypatch, out, stop_after=None, **changes):
    begin = Cheap(stop_after)
    monkeypatch.setattr("kerasburst.studies.sweep.study.SweepStudy._begin", begin)
    monkeypatch.setattr("kerasburst.studies.sweep.study.SweepStudy._curve", lambda *_: None)
    config = audited("encoder.burst_interval=1:6", "encoder.mean_burst_size=1.0:20:log", **{
        **{"search": "pareto", "samples": 8, "seeds": 2, "queries": (1,), "train": {"dataset": "iris", "num_steps": 9}},
        **{"members": 10, "shadows": 2},
        **changes,
    })  # fmt: skip
    try:
        return sweep(config, out, resume=out.exists())[0], begin.ran
    except KeyboardInterrupt:
        return None, begin.ran


def test_killed_and_resumed_a_search_does_the_same_once(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    whole, ran = cheap(monkeypatch, tmp_path / "s")
    assert len(whole.points) == 8 and len(ran) == 2 * (8 + 2)
    assert [(half, seed) for _, half, seed in ran] == [(0, 0), (0, 1)] * 8 + [(1, 0), (1, 0), (1, 1), (1, 1)]
    assert whole.points[0].values == {"encoder.burst_interval": 2, "encoder.mean_burst_size": 3.0}
    (chosen,) = {point.values["encoder.burst_interval"] for i, point in enumerate(whole.points) if i == whole.chosen}
    assert chosen == 1 and all(whole.points[i].values["encoder.burst_interval"] in (1, 2) for i in whole.front)
    # 0.5 + 0.02 tau + 0.001 seed, at tau = 1 and 2: the seeds cancel.
    difference = whole.judged.difference["audit_auc"]
    assert difference.mean == pytest.approx(-0.02) and difference.interval == pytest.approx((-0.02, -0.02))
    stopped = [cheap(monkeypatch, tmp_path / "t", stop_after=n)[1] for n in (0, 5)]
    again, rest = cheap(monkeypatch, tmp_path / "t")
    assert again == whole and sum(stopped, []) + rest == ran
    more, ran = cheap(monkeypatch, tmp_path / "t", samples=10)  # goes on as a longer one would have gone
    assert [name for name, half, _ in ran if half == 0] == [f"point-000{i}/seed-{s}" for i in (8, 9) for s in (0, 1)]
    assert more.points == cheap(monkeypatch, tmp_path / "u", samples=10)[0].points
    (tmp_path / "t" / "trials.json").write_text("[1]")
    with pytest.raises(InputError, match="must be the search's trials"):
        cheap(monkeypatch, tmp_path / "t", samples=12)


REFUSED = [
    (
        ("encoder.burst_interval=1:8",),
        {},
        "--param encoder.burst_interval leaves no configuration at 8: burst",
    ),
    (("encoder.burst_interval=0:2",), {}, "leaves no configuration at 0: burst_interval must be"),
    (("encoder.mean_burst_size=-1.5:2",), {}, "leaves no configuration at -1.5: mean_burst_size must be"),
    (("neuron.reset_mechanism=subtract,other",), {}, "leaves no configuration at other: reset_mechanism must be"),
    (("encoder.margin=1:2",), {}, "encoder.margin is unknown"),
    (("train.train_limit=100:200",), {}, "the splits alone, which all trials share, received 'train.train_limit'"),
    (("encoder.burst_interval=1:3",), {"samples": 0}, "samples must be"),
    (("encoder.burst_interval=1:3",), {"members": 100}, "members must be fewer"),
]


@pytest.mark.parametrize(("parameters", "changes", "part"), REFUSED)
def test_bad_ranges_are_refused(tmp_path, monkeypatch, parameters, changes, part):
    pytest.importorskip("optuna")
    monkeypatch.setattr(RUN_FLEET, FleetHere(stop_after=0))
    with pytest.raises(InputError, match=part):
        sweep(audited(*parameters, **{"search": "pareto", "seeds": 1, **changes}), tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.thorough
def test_ends_that_fit_together_alone_are_no_bad_range(tmp_path, monkeypatch):
    """T = 3 has no room for tau = 8, which T = 12 has; a point without room is not asked for."""
    pytest.importorskip("optuna")
    monkeypatch.setattr(RUN_FLEET, PretendAll())
    config = audited("encoder.burst_interval=1:8", "train.num_steps=3:12", search="pareto", samples=3, seeds=1)
    result, _ = sweep(config, tmp_path / "s")
    assert len(result.points) == 3
    assert all(p.values["encoder.burst_interval"] <= p.values["train.num_steps"] for p in result.points)


@pytest.mark.thorough
def test_a_tiny_real_search(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(RUN_FLEET, FleetHere())
    config = small(samples=2, seeds=1, shadows=2)
    result, error = sweep(config, tmp_path / "s")
    assert error is None and len(result.points) == 2
    figures = [each.figures for point in result.points for each in point.seeds if not each.reason]
    assert all({"test_accuracy", "audit_auc"} <= set(each) for each in figures)
    assert files.read_json(tmp_path / "s" / "trials.json") == [dict(point.values) for point in result.points]
    parts = make_splits(load_source("breast_cancer"), 0)
    (splits,) = load_pools(tmp_path / "s" / "point-0000" / "seed-0")
    assert np.isin(splits.audited, half_of(load_source("breast_cancer").x, parts.train, 0)).all()
