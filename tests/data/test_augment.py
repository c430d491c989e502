"""Flips and crops: what they do to an image, and that they depend on seed, epoch and index alone."""

import numpy as np
import pytest
import tensorflow as tf

from kerasburst.data.events import Reading
from kerasburst.data.pipeline import augment, make_dataset, make_parts
from kerasburst.encoders.direct import DirectEncoder
from kerasburst.encoders.none import NoEncoder
from kerasburst.validation import InputError

IMAGE = np.arange(1, 13, dtype=np.float32).reshape(3, 4, 1)
SEEDS = tf.constant([[7, i] for i in range(400)], tf.int64)


def possible(image, crop, flip):
    """Return every outcome, as bytes, by slicing a padded image."""
    height, width, _ = image.shape
    images = [image, image[:, ::-1]] if flip else [image]
    padded = [np.pad(each, [(crop, crop), (crop, crop), (0, 0)]) for each in images]
    shifts = range(2 * crop + 1)
    return {p[i : i + height, j : j + width].tobytes() for p in padded for i in shifts for j in shifts}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("crop, flip", [(1, True), (0, True), (1, False)])
def test_outcomes_are_those_of_slicing(crop, flip):
    seen = augment(tf.constant(np.repeat(IMAGE[None], 400, axis=0)), SEEDS, Reading(flip=flip, crop=crop)).numpy()
    assert {each.tobytes() for each in seen} == possible(IMAGE, crop, flip)
    if flip and not crop:
        assert 150 < sum(each[0, 0, 0] == 1 for each in seen) < 250  # 5 standard deviations of 400 coins


def test_frames_of_a_recording_change_together_and_padding_stays():
    x = np.zeros((6, 5, 4, 4, 2), np.int8)
    x[:, :3] = np.random.default_rng(0).integers(0, 2, (1, 1, 4, 4, 2))
    x[:, 3:] = -1
    seen = augment(tf.constant(x), SEEDS[:6], Reading(flip=True, crop=2)).numpy()
    assert (seen[:, 3:] == -1).all() and (seen[:, :3] >= 0).all()
    assert (seen[:, 0] == seen[:, 1]).all() and (seen[:, 0] == seen[:, 2]).all()
    assert len({each.tobytes() for each in seen}) > 1


@pytest.mark.thorough
def test_it_depends_on_seed_epoch_and_index_alone():
    x = (np.random.default_rng(0).random((12, 5, 4, 1))).astype("float32")
    y, reading = np.arange(12), Reading(flip=True, crop=1)

    def by_index(dataset):
        batches = [(images.numpy(), labels.numpy()) for images, labels, *_ in dataset]
        labels = np.concatenate([labels for _, labels in batches])
        return np.concatenate([images for images, _ in batches])[np.argsort(labels)][:, 0]

    plain = by_index(make_dataset(x, y, DirectEncoder(1), 12, 3, epoch=2, augmented=reading))
    other = by_index(make_dataset(x, y, DirectEncoder(1), 5, 3, epoch=2, shuffle=True, augmented=reading))
    parts = [make_parts(x, y, DirectEncoder(1), 5, 3, range(i, i + 1), 2, epoch=2, augmented=reading) for i in (0, 1)]
    np.testing.assert_array_equal(plain, other)
    np.testing.assert_array_equal(plain, by_index([batch for part in parts for batch in part]))
    for options in ({"seed": 4, "epoch": 2}, {"seed": 3, "epoch": 1}):
        assert (by_index(make_dataset(x, y, DirectEncoder(1), 12, augmented=reading, **options)) != plain).any()
    assert (plain != x).any()
    np.testing.assert_array_equal(by_index(make_dataset(x, y, DirectEncoder(1), 12, 3, augmented=Reading())), x)


def test_tables_are_refused():
    with pytest.raises(InputError, match="x must be images to flip or crop, received the shape .3, 4, 5."):
        make_dataset(np.zeros((3, 4, 5), "uint8"), np.arange(3), NoEncoder(4), 2, 0, augmented=Reading(flip=True))
