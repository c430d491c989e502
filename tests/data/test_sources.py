import hashlib

import numpy as np
import pytest

from kerasburst.data.dataset import Dataset
from kerasburst.data.scaling import Scaling
from kerasburst.data.sources import Source, array_keys
from kerasburst.data.splits import Splits
from kerasburst.validation import InputError

IMAGES = np.zeros((4, 5, 6), np.uint8)
TABLE = np.array([[1.0, -2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
LABELS = np.array([0, 1, 2, 1])


def official(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2]):
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def test_official_split_becomes_one_pool_with_the_test_part_behind():
    train = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    test = 100 + np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    source = Source.from_arrays("mine", official(train, LABELS, test, np.array([2, 0])))
    assert (source.kind, source.test_start, source.num_classes, source.full_scale) == ("image", 4, 3, 255.0)
    assert source.x.shape == (6, 2, 3, 1) and source.sample_shape == (2, 3, 1)
    assert source.x.dtype == np.uint8 and source.y.dtype == np.int64
    assert source.x[4:, :, :, 0].tolist() == test.tolist() and source.x[0, :, :, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert source.y.tolist() == [0, 1, 2, 1, 2, 0]
    assert source.class_names == ("0", "1", "2")


def test_table_becomes_float32_without_an_official_split():
    source = Source.from_arrays("mine", {"x": TABLE, "y": LABELS})
    assert (source.kind, source.test_start, source.full_scale) == ("tabular", None, None)
    assert source.x.dtype == np.float32 and source.x.tolist() == TABLE.tolist()


@pytest.mark.parametrize(
    ("values", "dtype", "scale"),
    [
        (np.array([0.0, 1.0], np.float64), np.float32, 1.0),
        (np.array([0.0, 0.5], np.float16), np.float32, 1.0),
        (np.array([0, 255], np.int64), np.uint8, 255.0),
        (np.array([0, 7], np.uint16), np.uint8, 255.0),
    ],
)
def test_images_of_other_types_keep_their_values(values, dtype, scale):
    source = Source.from_arrays("mine", {"x": values.reshape(2, 1, 1), "y": np.array([0, 1])})
    assert source.x.dtype == dtype and source.full_scale == scale
    assert source.x.ravel().tolist() == values.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_images_of_0_and_1_are_intensities(dtype):
    x = np.array([0, 1, 1, 0], dtype).reshape(4, 1, 1)
    source = Source.from_arrays("mine", {"x": x, "y": LABELS})
    assert source.full_scale == 1.0 and source.x.ravel().tolist() == [0, 1, 1, 0]
    assert Source.from_arrays("mine", {"x": x, "y": LABELS}, full_scale=16.0).full_scale == 16.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_of_float_images_is_forgiven(dtype):
    x = np.array([-1e-7, 1 + 1e-7, 1.0000000000000002, 0.5], dtype).reshape(4, 1, 1)
    assert Source.from_arrays("mine", {"x": x, "y": LABELS}).x.ravel().tolist() == [0.0, 1.0, 1.0, 0.5]
    for wrong in (-2e-6, 1 + 2e-6):
        with pytest.raises(InputError, match="x must be images with floats from 0 to 1"):
            Source.from_arrays("mine", {"x": np.where(x == 0.5, wrong, x), "y": LABELS})


FAR = {  # far from 0 compared with what they differ by
    "timestamps": 1.7e9 + np.arange(160.0),
    "fractions of a second": 1.7e9 + np.arange(160) / 1024,
    "timestamps of a month": np.linspace(1.7e9, 1.7e9 + 2_592_000, 160).round(),
    "integers": 2**24 + np.arange(160),
    "unsigned integers": np.arange(160, dtype=np.uint32) + np.uint32(4_000_000_000),
    "nanoseconds": 1_700_000_000_000_000_000 + 2**20 * np.arange(160),
    "negative": -(2**31) - np.arange(160.0),
    "kelvin": 293.15 + np.arange(160) * 1e-5,
}


@pytest.mark.parametrize("column", FAR.values(), ids=FAR)
@pytest.mark.parametrize("official_split", [False, True])
def test_small_differences_of_large_numbers_survive(column, official_split):
    x, y = np.stack([column, np.arange(160).astype(column.dtype)], axis=1), np.arange(160) % 2
    arrays = official(x, y, x[40:80], y[40:80]) if official_split else {"x": x, "y": y}
    source = Source.from_arrays("mine", arrays)
    assert source.x.dtype == np.float64
    scaled = Scaling.fit(source.x[:160], "tabular").apply(source.x[:160])
    exact = [int(each) for each in column.tolist()] if column.dtype.kind in "iu" else column.tolist()
    expected = [(each - min(exact)) / (max(exact) - min(exact)) for each in exact]
    np.testing.assert_allclose(scaled[:, 0], expected, rtol=0, atol=1e-6)
    assert len(np.unique(scaled[:, 0])) == 160
    np.testing.assert_allclose(scaled[:, 1], np.arange(160) / 159, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "column",
    [
        np.linspace(0, 1e9, 160),
        np.linspace(-3.3e38, 3.3e38, 160),
        np.linspace(1e-40, 1e-30, 160),
        np.full(160, 1.7e9 + 0.1),
        2_000_000_000 + 4096 * np.arange(160),
        np.arange(160, dtype=np.float16),
    ],
)
def test_tables_that_float32_holds_are_float32(column):
    x = np.stack([column, np.linspace(0, 1, 160, dtype=column.dtype)], axis=1)
    assert Source.from_arrays("mine", {"x": x, "y": np.arange(160) % 2}).x.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int16, np.float64])
def test_recordings_of_event_cameras_are_spikes(dtype):
    spikes = np.random.default_rng(0).integers(0, 2, (4, 3, 5, 6, 2)).astype(dtype)
    source = Source.from_arrays("mine", official(spikes, LABELS, spikes[:2], LABELS[:2]))
    assert (source.encoded, source.kind, source.full_scale, source.sample_shape) == (True, "image", None, (3, 5, 6, 2))
    assert source.x.dtype == np.uint8 and np.array_equal(source.x[4:], spikes[:2])
    data = Dataset.from_source(source, Splits([0, 1], [2], [3]))
    assert data.x_train.dtype == np.uint8 and np.array_equal(data.x_train, spikes[:2])


def test_integers_that_float64_merges_are_refused():
    x = (2**60 + np.arange(160)).reshape(160, 1)
    with pytest.raises(InputError, match="^x must hold numbers that float64 can tell apart, .* subtract the minimum"):
        Source.from_arrays("mine", {"x": x, "y": np.arange(160) % 2})
    assert Source.from_arrays("mine", {"x": x - x.min(), "y": np.arange(160) % 2}).x.dtype == np.float32


@pytest.mark.parametrize("labels", [LABELS.astype(float), LABELS.reshape(4, 1), LABELS.astype(np.uint8)])
def test_labels_in_other_forms_are_taken(labels):
    source = Source.from_arrays("mine", {"x": TABLE, "y": labels})
    assert source.y.dtype == np.int64 and source.y.tolist() == [0, 1, 2, 1]


def test_test_part_may_lack_a_class():
    assert Source.from_arrays("mine", official(y_test=np.array([1, 1]))).num_classes == 3


def test_class_names_are_cut_to_the_classes_that_occur():
    source = Source.from_arrays("mine", {"x": TABLE, "y": LABELS}, class_names=("a", "b", "c", "d"))
    assert source.class_names == ("a", "b", "c")


def test_arrays_cannot_be_written_and_the_callers_stay_open():
    x, y = np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1])
    source = Source("mine", "image", x, y, 2)
    with pytest.raises(ValueError, match="read-only"):
        source.x[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        source.y[0] = 1
    assert x.flags.writeable and y.flags.writeable


def table_with(value):
    return np.where(TABLE == 3.0, value, TABLE)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": TABLE}, "must hold the arrays x_train, y_train, x_test, y_test, or x and y; it holds x$"),
        ({"x_train": TABLE, "y_train": LABELS}, "it holds x_train, y_train$"),
        ({}, "it holds nothing$"),
        ({"x": TABLE[:0], "y": LABELS[:0]}, r"x must not be empty, received shape \(0, 2\)"),
        ({"x": TABLE[:, :0], "y": LABELS}, r"x must not be empty, received shape \(4, 0\)"),
        (official(x_test=IMAGES[:0], y_test=LABELS[:0]), "x_test must not be empty"),
        ({"x": TABLE, "y": LABELS[:3]}, "y must have one label per example of x, received 3 labels for 4"),
        (official(y_test=LABELS), "y_test must have one label per example of x_test, received 4 labels for 2"),
        ({"x": TABLE[:, 0], "y": LABELS}, r"x must have shape .* received \(4,\)"),
        ({"x": np.full((4, 1, 1, 1, 2), 2), "y": LABELS}, "x must be spikes, each 0 or 1, received 2 to 2"),
        ({"x": np.full((4, 1, 1, 1, 2), np.nan), "y": LABELS}, "x must be spikes, each 0 or 1, received nan to nan"),
        ({"x": TABLE.astype(complex), "y": LABELS}, "x must hold integers or floats, received the type complex128"),
        ({"x": TABLE.astype(str), "y": LABELS}, "x must hold integers or floats, received the type <U"),
        ({"x": TABLE.astype(object), "y": LABELS}, "x must hold integers or floats, received the type object"),
        ({"x": table_with(np.nan), "y": LABELS}, "x must hold finite numbers"),
        ({"x": table_with(-np.inf), "y": LABELS}, "x must hold finite numbers"),
        ({"x": table_with(1e39), "y": LABELS}, r"x must be numbers that fit float32 .* received 1e\+39"),
        ({"x": table_with(-1e39), "y": LABELS}, r"received -1e\+39"),
        ({"x": IMAGES - 0.25, "y": LABELS}, r"x must be images with floats from 0 to 1 .* received -0.25 to -0.25"),
        ({"x": IMAGES + 255.0, "y": LABELS}, r"x must be images with floats from 0 to 1 .* received 255 to 255"),
        ({"x": IMAGES.astype(int) + 256, "y": LABELS}, "integers from 0 to 255, received 256 to 256"),
        ({"x": IMAGES.astype(int) - 1, "y": LABELS}, "integers from 0 to 255, received -1 to -1"),
        ({"x": TABLE, "y": LABELS + 0.5}, "y must be integer labels, received 0.5"),
        ({"x": TABLE, "y": np.array([0, 1, np.nan, 1])}, "y must hold finite numbers"),
        ({"x": TABLE, "y": LABELS.astype(str)}, "y must hold integers or floats, received the type <U"),
        ({"x": TABLE, "y": LABELS > 0}, "y must hold integers or floats, received the type bool"),
        ({"x": TABLE, "y": np.eye(4)}, r"y must be integer labels of shape \(n,\), received \(4, 4\).*one-hot"),
        ({"x": TABLE, "y": LABELS.reshape(4, 1, 1)}, r"y must be integer labels .* received \(4, 1, 1\)"),
        ({"x": TABLE, "y": np.array(1)}, r"y must be integer labels .* received \(\)"),
        ({"x": TABLE, "y": LABELS - 1}, "y must be integer labels from 0 to C - 1, received -1"),
        ({"x": TABLE, "y": LABELS + 1}, "every class from 0 to 3 .*class 0 does not occur"),
        ({"x": TABLE, "y": np.array([0, 1, 3, 1])}, "every class from 0 to 3 .*class 2 does not occur"),
        ({"x": TABLE, "y": np.array([0, 1, 2**63, 1], np.uint64)}, "y must be integer labels from 0 to C - 1"),
        ({"x": TABLE, "y": np.zeros(4, int)}, "at least two classes, received only class 0"),
        (official(y_train=np.zeros(4, int)), "y_train must hold at least two classes"),
        (official(y_test=np.array([0, 3])), "y_test must be labels that the training part has, 0 to 2, received 3"),
        (official(x_test=np.zeros((2, 6, 5), np.uint8)), r"x_test must have examples of the same shape as x_train"),
        (official(x_test=np.zeros((2, 30), np.uint8)), r"x_test must have examples of the same shape as x_train"),
        (official(x_test=np.zeros((2, 5, 6))), "x_test must be integers or floats as x_train is, received float64"),
    ],
)
def test_bad_arrays_are_refused_with_file_and_key(arrays, message):
    with pytest.raises(InputError, match=message) as error:
        Source.from_arrays("mine", arrays, "data/mine.npz")
    assert str(error.value).startswith("data/mine.npz") and "\n" not in str(error.value)


def test_more_classes_than_names_are_refused():
    with pytest.raises(InputError, match="y must be labels 0 to 1 of mine, received 2"):
        Source.from_arrays("mine", {"x": TABLE, "y": LABELS}, class_names=("a", "b"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "sound"}, "kind must be one of image, tabular"),
        ({"kind": "tabular"}, "x must be uint8 or float32"),
        ({"x": np.zeros((2, 1, 1, 1))}, "x must be uint8 or float32"),
        ({"y": np.zeros(2, np.int32)}, "y must be int64"),
        ({"y": np.zeros(3, np.int64)}, r"y must be int64 of shape \(2,\)"),
        ({"y": np.array([0, 2])}, "y must be labels from 0 to 1"),
        ({"num_classes": 1}, "num_classes must be an integer of at least 2"),
        ({"class_names": ("a",)}, "class_names must be one name for each of 2 classes"),
        ({"test_start": 0}, "test_start must be an integer from 1 to 1, received 0"),
        ({"test_start": 2}, "test_start must be an integer from 1 to 1, received 2"),
        ({"full_scale": 0.0}, "full_scale must be a finite number above 0"),
    ],
)
def test_fields_that_do_not_fit_are_refused(change, message):
    fields = {"name": "mine", "kind": "image", "x": np.zeros((2, 1, 1, 1), np.uint8), "y": np.array([0, 1])}
    fields["num_classes"] = 2
    Source(**fields)
    with pytest.raises(InputError, match=message):
        Source(**{**fields, **change})


def test_fingerprint_is_the_documented_hash():
    source = Source("mine", "image", np.array([[3], [9]], np.uint8).reshape(2, 1, 1, 1), np.array([0, 1]), 2)
    by_hand = b"None" + b"||u1 (2, 1, 1, 1)|" + b"\x03\x09" + b"|<i8 (2,)|" + bytes(8) + b"\x01" + bytes(7)
    assert source.fingerprint == hashlib.sha256(by_hand).hexdigest()


def test_fingerprint_tells_values_labels_shape_type_and_split_apart_and_nothing_else():
    x, y = np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 0, 1])
    base = Source("mine", "image", x, y, 2)
    others = [
        Source("mine", "image", x + np.uint8(1), y, 2),
        Source("mine", "image", x, 1 - y, 2),
        Source("mine", "image", x.reshape(4, 4, 1, 1), y, 2),
        Source("mine", "image", x.astype(np.float32), y, 2),
        Source("mine", "image", x, y, 2, test_start=2),
    ]
    assert len({source.fingerprint for source in [base, *others]}) == 6
    assert Source("yours", "image", x.copy(), y.copy(), 2, note="copy").fingerprint == base.fingerprint


def test_fingerprint_does_not_depend_on_memory_layout():
    x = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    turned = np.asfortranarray(x)
    y = np.array([0, 1])
    assert Source("a", "image", turned, y, 2).fingerprint == Source("a", "image", x, y, 2).fingerprint


def test_array_keys_prefers_the_official_split():
    assert array_keys(["x", "y", "y_test", "x_test", "y_train", "x_train"]) == (
        "x_train",
        "y_train",
        "x_test",
        "y_test",
    )
