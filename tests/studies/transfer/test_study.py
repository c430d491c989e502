import dataclasses
import json

import numpy as np
import pytest

from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.models import SNNConvNet, SNNFCNet
from kerasburst.models.saving import load_model, weights_hash
from kerasburst.reports.transfer import arms_table
from kerasburst.studies.transfer import arms
from kerasburst.studies.transfer.study import config_of_run, transfer
from kerasburst.training.evaluation import load_network
from kerasburst.training.fit import train
from kerasburst.training.result import Privacy
from kerasburst.training.setup import build
from kerasburst.validation import InputError
from tests.eager import eagerly
from tests.studies.transfer.common import NETWORK, RUN_FLEET, InThisProcess, Pretend, small, write_images

pytestmark = pytest.mark.usefixtures("eagerly")

ARMS = ("scratch", "transfer", "control")


def record(out, seed, arm, encoding="rate"):
    return json.loads((out / encoding / f"seed-{seed}" / f"{arm}.json").read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A transfer of rate and Delayed-Burst coding, with the result that it gave; rate's second seed is trained."""
    out = tmp_path_factory.mktemp("transfer") / "t"
    with pytest.MonkeyPatch.context() as patch, eagerly():
        patch.setattr(RUN_FLEET, InThisProcess(only=[f"rate/seed-1/{arm}" for arm in ARMS]))
        return out, transfer(small(encodings=("rate", "delayed_burst")), out)


def test_the_result_holds_the_records_accuracies(done):
    out, result = done
    assert json.loads((out / "transfer.json").read_text()) == json.loads(json.dumps(records.to_json(result)))
    for encoding in ("rate", "delayed_burst"):
        found = result.encodings[encoding]
        for arm in ARMS:
            assert list(getattr(found, arm)) == [record(out, s, arm, encoding)["test_accuracy"] for s in (0, 1)]
        assert found.difference == pytest.approx(np.subtract(found.transfer, found.scratch).mean())
        assert found.source == tuple(record(out, s, "transfer", encoding)["source"]["test_accuracy"] for s in (0, 1))
    over_rate = np.subtract(result.encodings["delayed_burst"].transfer, result.encodings["rate"].transfer).mean()
    assert result.encodings["delayed_burst"].over_rate == pytest.approx(over_rate)
    assert (result.freeze, result.frozen_layers, result.seeds) == ("conv", ("conv1", "conv2"), (0, 1))
    assert result.data["source"]["num_classes"] == result.data["target"]["num_classes"] == 5
    assert result.budget["target_train_examples"] == 60 and result.budget["test_queries"] == 2


def test_frozen_layers_are_the_sources_and_the_control_s_are_untrained(done):
    out, _ = done
    source = load_model(out / "rate" / "seed-1" / "source.keras")
    assert record(out, 1, "transfer")["frozen"] == {
        layer.name: weights_hash(layer) for layer in (source.conv1, source.conv2)
    }
    plan = arms.load_plan(out)
    training = TrainConfig(**{**plan["targets"]["rate"].__dict__, "seed": 1})
    untrained, _ = build(training, arms.load_data(training, (8, 8, 1)))
    assert record(out, 1, "control")["frozen"] == {
        layer.name: weights_hash(layer) for layer in (untrained.conv1, untrained.conv2)
    }
    assert record(out, 1, "scratch")["frozen"] == {}
    # 2 filters of 3x3x1 and 3 of 3x3x2, with biases, are not trained; 12 features to 8, 8 to 5.
    head = 12 * 8 + 8 + 8 * 5 + 5
    trained = [record(out, 1, arm)["trained_parameters"] for arm in ARMS]
    assert trained == [head + (9 + 1) * 2 + (18 + 1) * 3, head, head]


@pytest.mark.thorough
def test_arms_begin_alike_but_for_what_is_frozen(tmp_path, monkeypatch):
    began, trained_on = {}, {}

    def note(network, encoder, config, data):
        weights = {layer.name: layer.get_weights() for layer in network.layers}
        key = "source" if config.dataset == "digits:0-4" else len(began)
        began[key], trained_on[key] = weights, (config, data.x_train)

    monkeypatch.setattr("kerasburst.studies.transfer.arms.run_epochs", note)
    monkeypatch.setattr(RUN_FLEET, InThisProcess())
    transfer(small(seeds=1), tmp_path / "t")
    source = began.pop("source")
    source_config = trained_on.pop("source")[0]
    scratch, carried, control = began.values()
    for name in ("hidden_dense", "output_dense"):
        for other in (carried, control):
            assert all(np.array_equal(a, b) for a, b in zip(scratch[name], other[name], strict=True))
        assert not np.array_equal(scratch[name][0], source[name][0])
    assert np.array_equal(scratch["conv1"][0], control["conv1"][0])
    assert np.array_equal(source["conv1"][0], carried["conv1"][0])
    assert not np.array_equal(scratch["conv1"][0], carried["conv1"][0])
    (first, x), *others = trained_on.values()
    assert all(config == first and np.array_equal(x, other) for config, other in others)  # order and spikes are seeded
    assert first.seed == 0 != source_config.seed


def test_a_stopped_transfer_goes_on_to_the_same_result(tmp_path, monkeypatch):
    config = small(encodings=("rate", "delayed_burst"))
    monkeypatch.setattr(RUN_FLEET, Pretend())
    whole = transfer(config, tmp_path / "whole")
    monkeypatch.setattr(RUN_FLEET, Pretend(stop_after=4))
    with pytest.raises(KeyboardInterrupt):
        transfer(config, tmp_path / "t")
    assert not (tmp_path / "t" / "transfer.json").exists()
    with pytest.raises(InputError, match="an unfinished transfer: --resume"):
        transfer(config, tmp_path / "t")
    monkeypatch.setattr(RUN_FLEET, rest := Pretend())
    assert transfer(config, tmp_path / "t", resume=True) == whole
    assert len(rest.ran) == 8


@pytest.mark.thorough
def test_a_source_that_is_there_is_not_trained_again(done, monkeypatch):
    out, _ = done
    path = out / "rate" / "seed-1" / "transfer.json"
    before, source = path.read_text(), (out / "rate" / "seed-1" / "source.keras").stat().st_mtime_ns
    path.unlink()
    monkeypatch.setattr(RUN_FLEET, fleet := InThisProcess())
    transfer(small(encodings=("rate", "delayed_burst")), out, resume=True)
    assert fleet.ran == ["rate/seed-1/transfer"]
    assert (out / "rate" / "seed-1" / "source.keras").stat().st_mtime_ns == source
    old, new = json.loads(before), json.loads(path.read_text())
    assert old.pop("train_seconds") and new.pop("train_seconds") and old == new


def test_more_seeds_change_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend())
    one = transfer(small(seeds=1), tmp_path / "t")
    monkeypatch.setattr(RUN_FLEET, fleet := Pretend())
    more = transfer(small(seeds=2), tmp_path / "t", resume=True)
    assert fleet.ran == [f"rate/seed-1/{arm}" for arm in ARMS]
    assert more.encodings["rate"].transfer[:1] == one.encodings["rate"].transfer


@pytest.mark.thorough
def test_data_of_another_shape_is_brought_to_the_source_s(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, InThisProcess(only=["rate/seed-0/control"]))
    target = write_images(tmp_path / "colour.npz", side=10, channels=3)
    config = small(train={"dataset": str(target), "train_limit": 40}, seeds=1, source="digits:0-1")
    result = transfer(config, tmp_path / "t")
    assert result.data["target"]["sample_shape"] == [10, 10, 3] and result.data["target"]["learnt_in"] == [8, 8, 1]
    assert result.data["target"]["fingerprint"] != result.data["source"]["fingerprint"]


@pytest.mark.thorough
def test_tables_freeze_the_hidden_layer(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, InThisProcess(only=["rate/seed-0/transfer"]))
    train = {"dataset": "iris:1-2", "train_limit": 40, "network": {"hidden_units": 6}}
    result = transfer(small(train=train, source="iris:0-1", seeds=1), tmp_path / "t")
    assert (result.freeze, result.frozen_layers) == ("hidden", ("hidden_dense", "hidden_lif"))
    assert record(tmp_path / "t", 0, "transfer")["trained_parameters"] == 6 * 2 + 2


@pytest.mark.thorough
def test_from_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, InThisProcess(only=["poisson_burst/seed-1/transfer"]))
    run = TrainConfig(
        dataset="digits:0-4",
        encoding="poisson_burst",
        encoder={"mean_burst_size": 2.0},
        epochs=1,
        train_limit=60,
        num_steps=4,
        network=NETWORK,
        queries=1,
    )
    train(run, tmp_path / "run")
    network = load_network(tmp_path / "run")
    config = config_of_run(tmp_path / "run", "digits:5-9", 1, train_limit=60, seeds=2)
    assert config.encodings == ("poisson_burst",) and config.train.encoder["mean_burst_size"] == 2.0
    result = transfer(config, tmp_path / "t")
    found = record(tmp_path / "t", 1, "transfer", "poisson_burst")
    assert found["frozen"] == {layer.name: weights_hash(layer) for layer in (network.conv1, network.conv2)}
    found = result.encodings["poisson_burst"]
    assert found.source is None and "result.json" in found.reasons["source"]
    (tmp_path / "t" / "poisson_burst" / "seed-1" / "transfer.json").unlink()
    monkeypatch.setattr(RUN_FLEET, InThisProcess())
    other = load_network(tmp_path / "run")
    other.set_weights([weights + 1 for weights in other.get_weights()])
    other.save(tmp_path / "run" / "model.keras")
    with pytest.raises(InputError, match="model.keras must be the run's network"):
        transfer(config, tmp_path / "t", resume=True)
    ended = tmp_path / "run" / "result.json"
    ended.write_text(json.dumps(json.loads(ended.read_text()) | {"weights": weights_hash(other)}))
    with pytest.raises(InputError, match="run must be the one that the transfer was begun with"):
        transfer(config, tmp_path / "t", resume=True)


@pytest.mark.thorough
def test_the_target_of_a_private_run_is_learnt_without_and_the_result_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend())
    run = TrainConfig(dataset="digits:0-4", epochs=1, train_limit=60, num_steps=3, network=NETWORK, queries=1)
    found = train(run, tmp_path / "run")
    privacy = Privacy(
        epsilon=7.9,
        delta=1e-5,
        noise_multiplier=0.9,
        clipping_norm=1.0,
        sampling_rate=0.5,
        steps=2,
        encodings_per_example=3,
        accountant="of a test",
    )
    private = dataclasses.replace(run.resolved("image", 1), epsilon=8.0, encodings_per_example=3)
    files.write_json(tmp_path / "run" / "config.json", records.to_json(private))
    files.write_json(
        tmp_path / "run" / "result.json", records.to_json(dataclasses.replace(found, privacy=privacy, config=private))
    )
    config = config_of_run(tmp_path / "run", "digits:5-9", 1, train_limit=60, seeds=1)
    assert config.train.epsilon is None and config.train.encodings_per_example == 1
    result = transfer(config, tmp_path / "t")
    assert result.source_privacy == records.to_json(privacy)
    note = arms_table(records.to_json(result)).note
    assert (
        "trained with epsilon 7.9 at delta 1e-05, which protects its examples; the target was learnt without privacy"
        in note
    )


@pytest.mark.thorough
@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("fields", "shapes", "encodings"),
    [
        (
            {"source": "digits", "source_encoding": "rate", "encodings": ("none", "event_burst")},
            {"source": [16, 16, 2], "target": [3, 16, 16, 2]},
            ("rate", "event_burst"),
        ),
        (
            {"source": "moving_digits", "source_encoding": "none", "encodings": ("poisson_burst",)},
            {"source": [3, 16, 16, 2], "target": [16, 16, 2]},
            ("none", "poisson_burst"),
        ),
    ],
)
def test_images_and_events_are_each_other_s_source_with_an_encoder_each(
    fields, shapes, encodings, tmp_path, monkeypatch
):
    monkeypatch.setattr(RUN_FLEET, Pretend())
    target = "digits" if fields["source"] == "moving_digits" else "moving_digits"
    result = transfer(small(train={"dataset": target}, seeds=1, **fields), tmp_path / "t")
    assert {part: data["learnt_in"] for part, data in result.data.items()} == shapes
    plan, last = arms.load_plan(tmp_path / "t"), fields["encodings"][-1]
    trainings = plan["sources"][last], plan["targets"][last]
    assert tuple(each.encoding for each in trainings) == encodings
    assert all(each.data == {} for each in trainings)
    # Both build one network, and so each layer's weights fit.
    data = [
        arms.load_data(each, plan[name]) for each, name in zip(trainings, ("source_shape", "sample_shape"), strict=True)
    ]
    source, other = (build(each, part)[0] for each, part in zip(trainings, data, strict=True))
    assert [w.shape for w in source.conv1.weights] == [w.shape for w in other.conv1.weights]


@pytest.mark.parametrize("events_first", [True, False])
def test_how_events_are_read_is_of_the_events_alone(events_first, tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend())
    source, target = ("moving_digits", "digits") if events_first else ("digits", "moving_digits")
    encodings = {"source_encoding": "none", "encodings": ("rate",)}
    if not events_first:
        encodings = {"source_encoding": "rate", "encodings": ("none",)}
    train = {"dataset": target, "data": {"size": 8}}
    transfer(small(train=train, seeds=1, source=source, **encodings), tmp_path / "t")
    plan, name = arms.load_plan(tmp_path / "t"), encodings["encodings"][0]
    read = {each.dataset: each.data for each in (plan["sources"][name], plan["targets"][name])}
    assert read == {"moving_digits": {"size": 8}, "digits": {}}
    assert {plan["source_shape"], plan["sample_shape"]} == {(8, 8, 2), (3, 8, 8, 2)}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"source": "digits", "encodings": ("none",)}, "encoding must not be none or event_burst for digits"),
        (
            {"source": "iris", "source_encoding": "rate", "encodings": ("none",)},
            "iris must have examples that can be given",
        ),
        ({"source": "digits", "source_encoding": "rates", "encodings": ("none",)}, "encoding must be one of"),
    ],
)
def test_a_source_that_does_not_fit_events_is_refused(tmp_path, fields, part):
    with pytest.raises(InputError, match=part):
        transfer(small(train={"dataset": "moving_digits"}, seeds=1, **fields), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_changed_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, Pretend(stop_after=1))
    target = write_images(tmp_path / "mine.npz")
    config = small(train={"dataset": str(target), "train_limit": 40}, seeds=1, source="digits:0-1")
    with pytest.raises(KeyboardInterrupt):
        transfer(config, tmp_path / "t")
    write_images(tmp_path / "mine.npz", seed=1)
    with pytest.raises(InputError, match="target must be the data .* mine has changed"):
        transfer(config, tmp_path / "t", resume=True)


def test_frozen_layers_by_network():
    lif = SNNConvNet(2, conv_activation="lif")
    assert [layer.name for layer in arms.frozen_layers(lif, "conv")] == ["conv1", "conv1_lif", "conv2", "conv2_lif"]
    hidden = [layer.name for layer in arms.frozen_layers(lif, "hidden")]
    assert hidden == ["conv1", "conv1_lif", "conv2", "conv2_lif", "hidden_dense", "hidden_lif"]
    with pytest.raises(InputError, match="freeze must be hidden for SNNFCNet"):
        arms.frozen_layers(SNNFCNet(2), "conv")


@pytest.mark.thorough
def test_frozen_weights_that_change_are_a_defect(tmp_path, monkeypatch):
    def shake(network, *_):
        network.conv1.set_weights([w + 1 for w in network.conv1.get_weights()])

    monkeypatch.setattr(RUN_FLEET, InThisProcess())
    monkeypatch.setattr("kerasburst.studies.transfer.arms.run_epochs", shake)
    with pytest.raises(RuntimeError, match="frozen layers have changed"):
        transfer(small(seeds=1), tmp_path / "t")
