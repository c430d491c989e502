import json

import numpy as np
import pytest

from kerasburst import records
from kerasburst.data.scaling import Scaling
from kerasburst.validation import InputError

TRAIN = np.array([[2.0, -1.0, 5.0], [4.0, 3.0, 5.0], [3.0, 0.0, 5.0]], np.float32)


def test_bytes_are_divided_by_255():
    x = np.array([0, 51, 102, 255], np.uint8).reshape(1, 2, 2, 1)
    scaled = Scaling.fit(x, "image").apply(x)
    assert scaled.dtype == np.float32 and scaled.shape == (1, 2, 2, 1)
    assert scaled.ravel().tolist() == [0.0, np.float32(0.2), np.float32(0.4), 1.0]


def test_image_range_does_not_depend_on_the_images():
    dark = np.full((1, 1, 1, 1), 10, np.uint8)
    assert Scaling.fit(dark, "image").apply(np.full((1, 1, 1, 1), 255, np.uint8)).item() == 1.0


def test_digits_are_divided_by_16():
    x = np.array([0, 4, 16], np.uint8).reshape(1, 3, 1, 1)
    assert Scaling.fit(x, "image", 16.0).apply(x).ravel().tolist() == [0.0, 0.25, 1.0]


def test_float_images_stay_as_they_are():
    x = np.array([0.0, 0.125, 0.3, 1.0], np.float32).reshape(1, 4, 1, 1)
    assert Scaling.fit(x, "image").apply(x).tolist() == x.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_float_images_is_forgiven(dtype):
    x = np.array([-1e-7, 1 + 1e-7, 0.5], dtype).reshape(1, 3, 1, 1)
    assert Scaling("image", (3, 1, 1), (0.0,), (1.0,)).apply(x).ravel().tolist() == [0.0, 1.0, 0.5]


def test_spikes_stay_bytes():
    x = np.array([0, 1, 1, 0]).reshape(1, 2, 2)
    scaling = Scaling.fit(x, "spikes")
    assert scaling == Scaling("spikes", (2, 2), (0.0,), (1.0,)) == records.from_json(Scaling, records.to_json(scaling))
    for dtype in (np.uint8, np.float32, bool):
        assert scaling.apply(x.astype(dtype)).dtype == np.uint8 and np.array_equal(scaling.apply(x.astype(dtype)), x)
    with pytest.raises(InputError, match="x must be spikes, each 0 or 1, received 0 to 2"):
        scaling.apply(2 * x)
    for shape, high in (((2,), 1.0), ((2, 2), 2.0)):
        with pytest.raises(InputError):
            Scaling("spikes", shape, (0.0,), (high,))


def test_table_uses_minimum_and_maximum_of_training_rows():
    scaling = Scaling.fit(TRAIN, "tabular")
    assert scaling.low == (2.0, -1.0, 5.0) and scaling.high == (4.0, 3.0, 5.0)
    assert scaling.apply(TRAIN).tolist() == [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.25, 0.0]]


def test_other_rows_are_clipped_and_a_constant_feature_is_0():
    scaled = Scaling.fit(TRAIN, "tabular").apply(np.array([[0.0, 9.0, 6.0], [3.5, 1.0, -6.0]]))
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [[0.0, 1.0, 0.0], [0.75, 0.5, 0.0]]


def test_widest_float32_range_does_not_overflow():
    most = np.finfo(np.float32).max
    x = np.array([[-most], [0.0], [most]], np.float32)
    assert Scaling.fit(x, "tabular").apply(x).tolist() == [[0.0], [0.5], [1.0]]


def test_large_table_is_scaled_the_same_in_every_chunk():
    x = np.arange(3_000_000, dtype=np.float32).reshape(-1, 2)
    scaled = Scaling.fit(x, "tabular").apply(x)
    assert np.array_equal(scaled[:, 0], scaled[:, 1])
    assert scaled[0, 0] == 0 and scaled[-1, 0] == 1 and (np.diff(scaled[:, 0]) > 0).all()


def test_no_examples_give_no_examples():
    assert Scaling.fit(TRAIN, "tabular").apply(TRAIN[:0]).shape == (0, 3)


def test_apply_leaves_its_input_alone():
    x = TRAIN.copy()
    Scaling.fit(x, "tabular").apply(x)
    assert x.tolist() == TRAIN.tolist()


def test_json_keeps_every_bit():
    x = np.array([[0.1, 1e-38, -3.3e38], [1 / 3, 2e-38, 2.7e38]], np.float32)
    scaling = Scaling.fit(x, "tabular")
    value = json.loads(json.dumps(records.to_json(scaling), allow_nan=False))
    assert records.from_json(Scaling, value) == scaling
    assert value["low"] == [float(np.float32(0.1)), float(np.float32(1e-38)), float(np.float32(-3.3e38))]
    images = Scaling.fit(np.zeros((1, 2, 2, 1), np.uint8), "image", 16.0)
    assert records.from_json(Scaling, json.loads(json.dumps(records.to_json(images)))) == images


@pytest.mark.parametrize("value", ["", [], {}, {"kind": "image"}, {"kind": "tabular", "colour": 1}, 3, None])
def test_bad_json_is_refused(value):
    with pytest.raises(InputError):
        records.from_json(Scaling, value)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (TRAIN[:0], "tabular", "x_train must be at least one example"),
        (TRAIN[0], "tabular", "x_train must be at least one example"),
        (TRAIN, "image", "feature_shape must be of 3 dimensions for images"),
        (TRAIN, "sound", "kind must be one of image, tabular"),
        (TRAIN * np.nan, "tabular", "x_train must hold finite numbers"),
        (TRAIN + np.inf, "tabular", "x_train must hold finite numbers"),
    ],
)
def test_fit_refuses_bad_examples(x, kind, message):
    with pytest.raises(InputError, match=message):
        Scaling.fit(x, kind)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (TRAIN[:, :2], r"x must be of shape \(n, 3\), received \(3, 2\)"),
        (TRAIN[0], r"x must be of shape \(n, 3\), received \(3,\)"),
        (TRAIN[np.newaxis], r"x must be of shape \(n, 3\)"),
        (TRAIN * np.nan, "x must hold finite numbers"),
        (np.full((1, 3), -np.inf), "x must hold finite numbers"),
        (TRAIN.astype(str), "x must hold integers or floats"),
    ],
)
def test_apply_refuses_bad_examples(x, message):
    with pytest.raises(InputError, match=message):
        Scaling.fit(TRAIN, "tabular").apply(x)


@pytest.mark.parametrize("value", [17, -1])
def test_apply_refuses_images_outside_their_range(value):
    scaling = Scaling.fit(np.zeros((1, 1, 1, 1), np.uint8), "image", 16.0)
    with pytest.raises(InputError, match=f"images with values from 0 to 16, received .*{value} to {value}"):
        scaling.apply(np.full((1, 1, 1, 1), value))


@pytest.mark.parametrize(
    ("low", "high"), [((0.0,), (0.0,)), ((1.0,), (2.0,)), ((0.0,), (float("nan"),)), ((0.0, 0.0), (1.0, 1.0))]
)
def test_image_range_must_begin_at_0_and_have_a_width(low, high):
    with pytest.raises(InputError):
        Scaling("image", (2, 2, 1), low, high)


def test_table_range_must_be_ordered():
    with pytest.raises(InputError, match="low and high must be ordered"):
        Scaling("tabular", (1,), (2.0,), (1.0,))
