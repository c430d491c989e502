import dataclasses
import json

import numpy as np
import pytest

from kerasburst import records
from kerasburst.config import TrainConfig
from kerasburst.studies.sweep.config import SweepConfig
from kerasburst.studies.sweep.result import SeedFigures, estimate, sum_up, with_front
from kerasburst.studies.sweep.space import parse_parameter
from kerasburst.studies.sweep.study import sweep
from kerasburst.validation import InputError
from tests.paper.common import RUN_FLEET, FleetHere, PretendAll

pytestmark = pytest.mark.usefixtures("eagerly")


def small(*parameters, encoding="poisson_burst", **changes):
    train = {"dataset": "iris", "encoding": encoding, "num_steps": 4, "epochs": 2, "network": {"hidden_units": 4}}
    train |= changes.pop("train", {})
    texts = parameters or ("encoder.burst_interval=1,2,8", "encoder.mean_burst_size=1:2")
    return SweepConfig(
        train=TrainConfig(**train), parameters=tuple(map(parse_parameter, texts)), **{"seeds": 2, **changes}
    )


def audited(*parameters, **changes):
    train = {"dataset": "breast_cancer", "num_steps": 3}
    fields = {"metrics": ("audit_auc",), "members": 40, "shadows": 2, "queries": (1, 2), "train": train}
    return small(*(parameters or ("encoder.burst_interval=1,2",)), **(fields | changes))


def test_a_config_comes_back_from_json(tmp_path):
    for config in (small(), audited(search="random", samples=1), small("neuron.beta=0.5:0.9", search="random")):
        (tmp_path / "config.json").write_text(json.dumps(records.to_json(config)))
        assert records.load(SweepConfig, tmp_path / "config.json") == config
    assert audited().metrics == ("test_accuracy", "audit_auc")  # never an AUC without its accuracy
    (tmp_path / "config.json").write_text(json.dumps(records.to_json(TrainConfig())))
    with pytest.raises(InputError, match="must be a sweep's config of format 1"):
        records.load(SweepConfig, tmp_path / "config.json")


def test_a_point_s_training_has_its_values():
    config = small("encoder.mean_burst_size=2.5", "neuron.beta=0.5", "model.hidden_units=7", "train.num_steps=6")
    (point,) = config.points()
    training = config.training(point, 3)
    assert training.encoder == {"mean_burst_size": 2.5} and training.neuron == {"beta": 0.5}
    assert training.network == {"hidden_units": 7} and (training.num_steps, training.seed) == (6, 3)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"seeds": 0}, "seeds must be"),
        ({"metrics": ("accuracy",)}, "metric must be one of test_accuracy"),
        ({"metrics": ()}, "metric must be one or more"),
        ({"search": "best"}, "search must be one of grid, random"),
        ({"samples": 0}, "samples must be"),
        ({"shadows": 3}, "shadows must be even"),
        ({"queries": (0,)}, "queries must be"),
        ({"members": 1}, "members must be"),
        ({"parameters": ()}, "--param must be given at least once"),
        ({"parameters": (parse_parameter("neuron.beta=1"),) * 2}, "given once for each parameter"),
    ],
)
def test_wrong_fields_are_refused(fields, part):
    with pytest.raises(InputError, match=part):
        dataclasses.replace(small(), **fields)


def test_means_and_intervals_over_seeds():
    # mean 0.6, s = 0.1, t_2(0.975) = 4.302653: 0.6 +- 4.302653 * 0.1 / sqrt(3)
    found = estimate([0.5, 0.6, 0.7])
    assert found.mean == pytest.approx(0.6) and found.seeds == 3
    assert found.interval == pytest.approx((0.6 - 0.2484138, 0.6 + 0.2484138), abs=1e-6)


def test_accuracy_and_auc_are_of_the_same_seeds():
    point = sum_up(
        {"encoder.margin": 1},
        [
            SeedFigures(seed=0, figures={"test_accuracy": 0.5, "audit_auc": 0.7}, auc_by_queries={"1": 0.6, "4": 0.7}),
            SeedFigures(seed=1, figures={"test_accuracy": 0.7}, reason="control failed: planted_leak"),
        ],
    )
    assert {name: (e.mean, e.seeds) for name, e in point.estimates.items()} == {
        **{"test_accuracy": (0.5, 1), "audit_auc": (0.7, 1)}
    }
    assert point.auc_by_queries["1"].mean == 0.6 and point.auc_by_queries["4"].interval is None


def test_the_front_is_by_means():
    def point(accuracy, auc):
        return sum_up({}, [SeedFigures(seed=0, figures={"test_accuracy": accuracy, "audit_auc": auc})])

    points = [point(0.8, 0.5), point(0.9, 0.6), point(0.8, 0.6), sum_up({}, [SeedFigures(seed=0, figures={})])]
    marked, front = with_front(points)
    assert front == (1, 0) and [p.on_front for p in marked] == [True, True, False, None]


@pytest.mark.thorough
def test_every_point_is_trained_on_every_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, fleet := FleetHere())
    result, error = sweep(small(metrics=("test_accuracy", "input_firing_rate")), tmp_path / "s")
    assert error is None and json.loads((tmp_path / "s" / "sweep.json").read_text()) == json.loads(
        json.dumps(records.to_json(result))
    )
    # tau = 8 exceeds T = 4: no configuration, and no reason to stop.
    invalid = [point for point in result.points if point.reason]
    assert [point.values["encoder.burst_interval"] for point in invalid] == [8, 8]
    assert "burst_interval" in invalid[0].reason and "received 8" in invalid[0].reason
    assert fleet.ran[:5] == [f"point-{i:04}/seed-0/train" for i in range(4)] + ["point-0000/seed-1/train"]
    for i, point in enumerate(result.points[:4]):
        runs = [json.loads((tmp_path / "s" / f"point-{i:04}/seed-{s}/result.json").read_text()) for s in (0, 1)]
        mean = sum(run["test_accuracy"] for run in runs) / 2
        assert point.estimates["test_accuracy"].mean == pytest.approx(mean)
        rates = [run["firing_rates"]["input"] for run in runs]
        assert [each.figures["input_firing_rate"] for each in point.seeds] == rates
        config = json.loads((tmp_path / "s" / f"point-{i:04}/seed-1/config.json").read_text())
        assert config["encoder"]["mean_burst_size"] == point.values["encoder.mean_burst_size"]
        assert config["seed"] == 1
    # A burst of one step in every step fires more than one in every second step.
    assert result.points[0].estimates["input_firing_rate"].mean > result.points[2].estimates["input_firing_rate"].mean
    assert result.front == () and result.attack is None


@pytest.mark.thorough
def test_a_stopped_sweep_goes_on_and_takes_more_seeds(tmp_path, monkeypatch):
    config = small("encoder.burst_interval=1,2", seeds=1)
    monkeypatch.setattr(RUN_FLEET, FleetHere(stop_after=1))
    with pytest.raises(KeyboardInterrupt):
        sweep(config, tmp_path / "s")
    with pytest.raises(InputError, match="an unfinished sweep: --resume"):
        sweep(config, tmp_path / "s")
    monkeypatch.setattr(RUN_FLEET, fleet := FleetHere())
    sweep(dataclasses.replace(config, seeds=2), tmp_path / "s", resume=True)
    assert fleet.ran == ["point-0001/seed-0/train", "point-0000/seed-1/train", "point-0001/seed-1/train"]
    with pytest.raises(InputError, match="parameters differs"):
        sweep(small("encoder.burst_interval=1,3"), tmp_path / "s", resume=True)
    monkeypatch.setattr(RUN_FLEET, fleet := FleetHere())
    (tmp_path / "s" / "mine.png").write_text("mine")
    sweep(small("encoder.burst_interval=1", seeds=1), tmp_path / "s", force=True)
    assert fleet.ran == ["point-0000/seed-0/train"] and (tmp_path / "s" / "mine.png").exists()
    assert not (tmp_path / "s" / "point-0001").exists()


def test_runs_on_data_that_has_changed_are_not_mixed_with_others(tmp_path, monkeypatch):
    data = tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(data, x=rng.random((60, 3)), y=np.arange(60) % 2)
    config = small("encoder.burst_interval=1", train={"dataset": str(data)}, seeds=1)
    monkeypatch.setattr(RUN_FLEET, PretendAll())
    sweep(config, tmp_path / "s")
    np.savez(data, x=rng.random((60, 3)), y=np.arange(60) % 2)
    before = (tmp_path / "s" / "sweep.json").read_bytes()
    with pytest.raises(InputError, match="dataset must be the data that the sweep.*, data has changed"):
        sweep(dataclasses.replace(config, seeds=2), tmp_path / "s", resume=True)
    assert (tmp_path / "s" / "sweep.json").read_bytes() == before
    # A run that has come from elsewhere is not taken for one of these.
    (tmp_path / "s" / "plan.json").unlink()
    monkeypatch.setattr(RUN_FLEET, fleet := PretendAll())
    result, _ = sweep(dataclasses.replace(config, seeds=2), tmp_path / "s", resume=True)
    assert fleet.ran == ["point-0000/seed-1/train"] and result.points[0].estimates["test_accuracy"].seeds == 1
    assert "has changed" in result.points[0].seeds[0].reason


def test_audits_give_auc_beside_accuracy(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, fleet := PretendAll())
    result, error = sweep(audited(seeds=1), tmp_path / "s")
    assert error is None and len(fleet.ran) == 2 * (1 + 2 + 2)
    for i, point in enumerate(result.points):
        audit = json.loads((tmp_path / "s" / f"point-{i:04}/seed-0/audit.json").read_text())
        found = audit["encodings"]["poisson_burst"]
        aucs = {str(a["queries"]): a["auc"] for a in found["attacks"] if a["name"] == "lira_online"}
        assert {k: e.mean for k, e in point.auc_by_queries.items()} == aucs and set(aucs) == {"1", "2"}
        assert point.estimates["audit_auc"].mean == aucs["2"]
        assert point.estimates["test_accuracy"].mean == found["test_accuracy"]
    assert result.front and result.attack == {"name": "lira_online", "queries": 2}
    # What is finished is read, and not judged again.
    monkeypatch.setattr("kerasburst.privacy.audit.AuditStudy.conclude", lambda *_: pytest.fail("judged again"))
    monkeypatch.setattr(RUN_FLEET, fleet := PretendAll())
    again, _ = sweep(audited(seeds=1), tmp_path / "s", resume=True)
    assert fleet.ran == [] and again.points == result.points


def test_an_audit_whose_controls_fail_gives_no_auc(tmp_path, monkeypatch):
    fleet = PretendAll()
    fleet.leaks = {"poisson_burst": 2.0}
    monkeypatch.setattr(RUN_FLEET, fleet)
    monkeypatch.setattr("kerasburst.privacy.lessons.members_needed", lambda num_classes: 16)  # it follows from:
    monkeypatch.setattr("kerasburst.privacy.controls.LEAST_LEAK", 1.5)  # which no planted leak can reach
    monkeypatch.setattr("kerasburst.privacy.controls.check_power", lambda *_: "")
    result, _ = sweep(audited("encoder.burst_interval=2", seeds=1), tmp_path / "s")
    (point,) = result.points
    assert point.seeds[0].reason == "control failed: planted_leak" and point.auc_by_queries is None
    assert point.seeds[0].failed_controls == ("planted_leak",) and point.seeds[0].figures["test_accuracy"] == 0.75
    assert point.estimates == {}
    assert point.on_front is None and result.front == ()


def test_a_run_that_fails_leaves_its_figures_out(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, PretendAll(fail="point-0000/seed-1"))
    result, error = sweep(small("encoder.burst_interval=1,2"), tmp_path / "s")
    assert "point-0000/seed-1/train failed twice" in str(error)
    assert result.points[0].estimates["test_accuracy"].seeds == 1
    assert "failed twice" in result.points[0].seeds[1].reason and not result.points[1].seeds[1].reason


@pytest.mark.thorough
def test_a_loss_that_is_no_number_is_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, FleetHere())
    config = small("train.learning_rate=0.001,1e38", encoding="rate", seeds=1)
    result, error = sweep(config, tmp_path / "s")
    assert error is None and result.points[0].estimates and not result.points[1].estimates
    assert "the loss of epoch" in result.points[1].seeds[0].reason


class Diverging(PretendAll):
    """Refuses the second point's target, as a network that has diverged is."""

    def work(self, task):
        if task.name == "point-0001/seed-0/poisson_burst/target-0":
            raise InputError("learning_rate must be lower than 1")
        super().work(task)


def test_an_audit_that_is_refused_ends_no_others(tmp_path, monkeypatch):
    for resume in (False, True):
        monkeypatch.setattr(RUN_FLEET, fleet := Diverging())
        result, error = sweep(audited(seeds=1), tmp_path / "s", resume=resume)
        assert error is None and result.points[0].estimates and not result.points[1].estimates
        reason = "point-0001/seed-0/poisson_burst/target-0 was refused: learning_rate must be lower than 1"
        assert result.points[1].seeds[0].reason == reason
    assert fleet.ran == []


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        (("encoder.burst_intervall=2",), "--param encoder.burst_intervall is unknown.*did you mean burst_interval"),
        (("neuron.betta=0.5",), "did you mean beta"),
        (("model.hiden_units=4",), "did you mean hidden_units"),
        (("encoder.burst_interval=8,9",), "no configuration; the first point: burst_interval"),
        (("train.train_limit=5000",), "no configuration; the first point: train_limit"),
    ],
)
def test_what_no_point_can_be_is_refused(tmp_path, monkeypatch, parameters, part):
    monkeypatch.setattr(RUN_FLEET, FleetHere(stop_after=0))
    with pytest.raises(InputError, match=part):
        sweep(small(*parameters), tmp_path / "s")
    assert not (tmp_path / "s").exists()
