"""Statistics of logits against 350-digit arithmetic and hand values."""

import re
from decimal import Decimal, localcontext

import numpy as np
import pytest

from kerasburst.privacy import statistics
from kerasburst.validation import InputError

FUNCTIONS = {name: getattr(statistics, name) for name in ("phi", "loss", "entropy", "modified_entropy")}


def exact(name, z, y):
    """The formula as it stands, with digits to spare: 1 - p is a sum, and exact."""
    with localcontext() as context:
        context.prec = 350
        e = [Decimal(float(v)).exp() for v in z]
        p = [v / sum(e) for v in e]
        rest = [sum(e[:i] + e[i + 1 :]) / sum(e) for i in range(len(e))]
        others = [i for i in range(len(z)) if i != y]
        value = {
            "phi": lambda: (p[y] / rest[y]).ln(),
            "loss": lambda: -p[y].ln(),
            "entropy": lambda: -sum(v * v.ln() for v in p),
            "modified_entropy": lambda: -rest[y] * p[y].ln() - sum(p[i] * rest[i].ln() for i in others),
        }[name]()
        return float(value)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 30.0, 400.0])
def test_formula(name, scale):
    rng = np.random.default_rng(3)
    z = scale * rng.normal(size=(3, 4))
    z[2, 1] = z[2].max()  # a tie, or the largest again
    y = np.array([0, 3, 1])
    expected = [exact(name, *pair) for pair in zip(z, y, strict=True)]
    np.testing.assert_allclose(FUNCTIONS[name](z, y), expected, rtol=1e-12, atol=1e-300)


def test_logits_of_ten_thousand():
    z = np.array([[1e4, -1e4, -1e4], [1e4, -1e4, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]])
    y = [0, 1, 2, 0]
    log2, log3 = np.log(2), np.log(3)
    expected = {
        "phi": [2e4 - log2, -2e4, -log2, 0.0],
        "loss": [0.0, 2e4, log3, log2],
        "entropy": [0.0, 0.0, log3, log2],
        # Sure and wrong: -log p_y = 2e4, and -log(1 - p_0) = 2e4 - log 2. Even: the sums of the formula.
        "modified_entropy": [0.0, 4e4 - log2, 2 / 3 * log3 - 2 / 3 * np.log(2 / 3), log2],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(FUNCTIONS[name](z, y), values, rtol=1e-14, atol=1e-11)


def test_a_sure_prediction_keeps_its_digits():
    # p = 1 - exp(-50): a probability in float64 would be 1, its log 0.
    z = np.array([[50.0, 0.0]])
    assert statistics.loss(z, [0])[0] == pytest.approx(np.exp(-50), rel=1e-12)
    assert statistics.phi(z, [0])[0] == 50.0
    assert statistics.modified_entropy(z, [1])[0] == pytest.approx(100.0, rel=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_axes_between(name):
    z = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype("float32")
    y = np.array([0, 1, 2, 3, 0])
    values = FUNCTIONS[name](z, y)
    assert values.shape == (5, 2, 3) and values.dtype == "float64"
    for k in range(2):
        for t in range(3):
            np.testing.assert_array_equal(values[:, k, t], FUNCTIONS[name](z[:, k, t], y))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "logits, labels, message",
    [
        ([[1.0, 2.0]], [2], "labels must be from 0 to 1, received 2"),
        ([[1.0, 2.0]], [-1], "labels must be from 0 to 1, received -1"),
        ([[1.0, 2.0]], [0, 1], "labels must be of shape (1,)"),
        ([[1.0, 2.0]], [[0]], "labels must be of shape (1,)"),
        ([[1.0, 2.0]], [0.5], "labels must be integers (labels.astype(int) makes them so), received 'float64 values'"),
        ([[1.0, np.nan]], [0], "logits must be finite, received nan"),
        ([[1.0, np.inf]], [0], "logits must be finite, received inf"),
        ([[1.0]], [0], "logits must be of shape (n, ..., C)"),
        ([1.0, 2.0], [0, 0], "logits must be of shape (n, ..., C)"),
        (np.empty((0, 3)), np.empty(0, int), "logits must be of shape (n, ..., C)"),
        ([["a", "b"]], [0], "logits must be an array of numbers, received '<U1 of shape (1, 2)'"),
        ([["1", "2"]], [0], "logits must be an array of numbers"),
        ([[1.0 + 1j, 2.0]], [0], "logits must be an array of numbers"),
        ([[1.0, 2.0], [1.0]], [0, 0], "logits must be an array, its lists of one length"),
        ([[0.2, 0.8], [0.5, 0.5]], [0, 1], "logits must be logits, or logarithms of probabilities, received 'prob"),
    ],
)
def test_bad_input(name, logits, labels, message):
    with pytest.raises(InputError, match=re.escape(message)):
        FUNCTIONS[name](logits, labels)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_counts_of_one_spike_each_are_logits(name):
    values = FUNCTIONS[name]([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    assert np.shape(values)[0] == 2 and np.isfinite(values).all() and np.all(values[0] == values[1])
