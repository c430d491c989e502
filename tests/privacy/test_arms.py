"""Arms are read from text, refused in one line, and resolved to trainings."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst import InputError, RateEncoder, TrainConfig, records
from kerasburst.privacy.arms import Arm, arms_of, parse_arm, resolve_arms
from kerasburst.privacy.config import AuditConfig
from kerasburst.privacy.defences import InputDropout, InputNoise, LabelSmoothing


@pytest.mark.parametrize(
    ("text", "encoding", "encoder", "defence", "parameters"),
    [
        ("rate", "rate", {}, None, {}),
        ("rate_regular", "rate", {"mode": "regular"}, None, {}),
        ("poisson_burst:mean_burst_size=60,burst_interval=2", "poisson_burst", (60, 2), None, {}),
        ("input_noise:sd=0.1", "rate", {"mode": "regular"}, "input_noise", {"sd": 0.1}),
        ("weight_decay:encoding=delayed_burst,amount=0.1", "delayed_burst", {}, "weight_decay", {"amount": 0.1}),
    ],
)
def test_what_is_read(text, encoding, encoder, defence, parameters):
    arm = parse_arm(text)
    if isinstance(encoder, tuple):
        encoder = dict(zip(("mean_burst_size", "burst_interval"), encoder, strict=True))
    assert arm == Arm(name=text, encoding=encoding, encoder=encoder, defence=defence, parameters=parameters)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rat", "arm must begin with one of rate, .*received 'rat'.*did you mean rate"),
        ("rate:mode", r"--arm must be NAME\[:parameter=value,...\], received 'rate:mode'"),
        ("rate:tau=2", "arm rate:tau=2: tau is unknown, it has mode, gain"),
        ("input_noise:sd=-1", "input_noise.sd must be"),
        ("input_noise:sd=x", "input_noise.sd must be"),
        ("input_noise:encoding=rat", "encoding must be an encoder, received rat"),
        ("early_stopping:patience=0", "early_stopping.patience must be"),
        ("rate:gain=1,gain=2", "--arm must set gain once"),
        ("private:epsilon=none", "private.epsilon must be a finite number above 0, received None"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_arm(text)


def test_arms_have_names_and_folders_of_their_own():
    with pytest.raises(InputError, match="each with a name of its own, received 'rate, rate'"):
        arms_of(["rate"], [parse_arm("rate")])
    assert [arm.folder for arm in arms_of((), [parse_arm("rate:gain=0.5"), parse_arm("rate")])] == [
        "rate-gain-0.5",
        "rate",
    ]


def test_an_audits_arms_survive_json():
    config = AuditConfig(
        train=TrainConfig(), encodings=(), arms=(parse_arm("rate:gain=0.5"), parse_arm("weight_decay"))
    )
    again = records.from_json(AuditConfig, records.to_json(config))
    assert again == config and list(again.compared) == ["rate:gain=0.5", "weight_decay"]
    for given in ({"snapshots": (0,)}, {"canaries": 3}, {"match": "loss"}, {"pools": 0}):
        with pytest.raises(InputError, match=next(iter(given))):
            AuditConfig(train=TrainConfig(), **given)


def test_shared_parameters_reach_the_encoders_that_have_them():
    arms = arms_of((), [parse_arm("rate"), parse_arm("poisson_burst:burst_interval=3")])
    found = resolve_arms(arms, TrainConfig(encoder={"mean_burst_size": 4.0}), "image", 7)
    assert found["rate"].epochs == 7 and "mean_burst_size" not in found["rate"].encoder
    burst = found["poisson_burst:burst_interval=3"].encoder
    assert (burst["mean_burst_size"], burst["burst_interval"]) == (4.0, 3)


@pytest.mark.parametrize("defence", [InputNoise(0.3), InputDropout(0.4)])
def test_altered_inputs_spike_as_often_as_they_say(defence):
    encoder = defence.encoder(RateEncoder(4))
    encode = tf.function(encoder.encode, autograph=False)  # in a loop over the examples
    x = tf.constant(np.tile(np.array([[0.0, 0.3, 0.9]], "float32"), (2000, 1)))
    seeds = tf.stack([tf.fill([2000], tf.constant(7, tf.int64)), tf.range(2000, dtype=tf.int64)], axis=1)
    spikes = encode(x, seeds).numpy()
    assert np.array_equal(spikes, encode(x, seeds).numpy())  # the same seed draws the same
    assert np.abs(spikes.mean(axis=0) - encoder.spike_probability(x[:1]).numpy()[0]).max() < 0.04


def test_smoothed_labels_by_hand():
    # p = (1/2, 1/4, 1/4) of the logits log 2, 0, 0; the targets are 0.8 + 0.2 / 3 and twice 0.2 / 3.
    loss = LabelSmoothing(0.2).loss()
    expected = (0.8 + 0.2 / 3) * np.log(2) + 2 * 0.2 / 3 * np.log(4)
    assert float(loss(np.array([0]), np.array([[np.log(2.0), 0.0, 0.0]]))) == pytest.approx(expected, rel=1e-6)


def test_a_private_arm_trains_privately():
    arms = (parse_arm("private:epsilon=2,clipping_norm=0.5,encoding=poisson_burst"), parse_arm("rate"))
    private, plain = resolve_arms(arms, TrainConfig(), "image", 3).values()
    assert (private.epsilon, private.delta, private.clipping_norm, private.encoding) == (
        2.0,
        1e-5,
        0.5,
        "poisson_burst",
    )
    assert plain.epsilon is None
    with pytest.raises(InputError, match="epsilon must be"):
        parse_arm("private:epsilon=0")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoding": None}, "encoding of an arm must be one of rate"),
        ({"encoding": "rate", "encoder": [1]}, "encoder of arm mine must be a mapping"),
        ({"encoding": "rate", "defence": "input_noise", "parameters": 3}, "parameters of arm mine must be a mapping"),
    ],
)
def test_fields_of_another_type(fields, message):
    with pytest.raises(InputError, match=message):
        Arm(name="mine", **fields)


def test_an_adversary_and_trained_bursts_are_arms():
    arms = [
        parse_arm("poisson_burst:trainable=true"),
        parse_arm("adversary:weight=2,encoding=poisson_burst,trainable=true"),
        parse_arm("adversary"),
    ]
    trained, attacked, fixed = resolve_arms(arms, TrainConfig(), "tabular", 3).values()
    for config in (trained, attacked):
        assert config.encoder["trainable_burst_size"] and config.encoder["trainable_intensity_map"]
    assert (trained.adversary, attacked.adversary, fixed.adversary) == (0.0, 2.0, 1.0)
    assert fixed.encoding == "rate" and fixed.encoder["mode"] == "regular"


def test_what_an_adversary_and_a_defence_before_trained_bursts_refuse():
    for text, message in (
        ("adversary:weight=0", "adversary.weight must be a finite number above 0, received 0.0"),
        ("adversary:trainable=2", "adversary.trainable must be true or false, received 2"),
        ("poisson_burst:trainable=3", "encoder.trainable must be true or false, received 3"),
    ):
        with pytest.raises(InputError) as error:
            parse_arm(text)
        assert str(error.value) == message
    shared = TrainConfig(encoding="poisson_burst", encoder={"trainable": True})
    with pytest.raises(InputError, match="needs an encoder that is not trained"):
        resolve_arms([parse_arm("input_noise:encoding=poisson_burst")], shared, "tabular", 3)
