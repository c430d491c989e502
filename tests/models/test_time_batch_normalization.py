import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.validation import InputError


def array(x):
    return ops.convert_to_numpy(x)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype("float32")


def by_hand(x, epsilon=1e-5):
    axes = tuple(range(x.ndim - 1))
    x = x.astype("float64")
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon)


@pytest.mark.parametrize("shape", [(3, 4, 2), (3, 4, 5, 6, 2)], ids=["units", "images"])
def test_statistics_are_over_batch_time_and_space(shape):
    x, layer = draw(*shape), kb.TimeBatchNormalization(momentum=0.75)
    np.testing.assert_allclose(array(layer(x, training=True)), by_hand(x), atol=1e-5)
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(array(layer.moving_mean), 0.25 * x.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(array(layer.moving_variance), 0.75 + 0.25 * x.var(axes), rtol=1e-5)


@pytest.mark.parametrize("how", ["asked", "frozen"])
def test_inference_uses_the_moving_averages_and_leaves_them(how):
    x, layer = draw(3, 4, 2), kb.TimeBatchNormalization(epsilon=0.5)
    layer.build(x.shape)
    gamma, beta, mean, variance = np.float32([[2, 3], [1, -1], [0.5, 1.5], [1.5, 3.5]])
    layer.set_weights([gamma, beta, mean, variance])
    layer.trainable = how != "frozen"
    want = (x - mean) / np.sqrt(variance + 0.5) * gamma + beta
    np.testing.assert_allclose(array(layer(x, training=how == "frozen")), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(array(layer.moving_mean), mean)
    alone = array(layer(x[1:2, 2:3]))  # no other example or step matters
    np.testing.assert_allclose(alone[0, 0], want[1, 2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 4, 4, 3)], ids=["units", "images"])
def test_padding_is_left_out_of_the_statistics(shape):
    x, mask = draw(*shape), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    x[0, 3:] = 1e3
    layer = kb.TimeBatchNormalization()
    got = array(layer(x, training=True, mask=mask))
    live = x[mask].reshape(1, -1, 3)
    np.testing.assert_allclose(got[mask].reshape(1, -1, 3), by_hand(live), atol=1e-4)
    np.testing.assert_allclose(array(layer.moving_mean), 0.1 * live.mean((0, 1)), rtol=1e-4)


def test_a_masking_layer_before_it_is_heard():
    x = draw(2, 4, 3)
    x[0, 2:] = 0.0
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Masking(), kb.TimeBatchNormalization()])
    got = array(model(x, training=True))
    live = np.concatenate([x[0, :2], x[1]])[None]
    np.testing.assert_allclose(np.concatenate([got[0, :2], got[1]])[None], by_hand(live), atol=1e-5)


def test_gamma_begins_with_the_threshold():
    x = draw(3, 4, 2)
    got = array(kb.TimeBatchNormalization(threshold=0.5, alpha=0.7)(x, training=True))
    np.testing.assert_allclose(got, 0.35 * by_hand(x), atol=1e-5)


def test_gradient_is_that_of_the_definition():
    """Each sum of outputs is beta's, so currents get no gradient from it; beta gets one for each output."""
    x = draw(3, 4, 2)
    layer = kb.TimeBatchNormalization()
    model = keras.Sequential([keras.Input((4, 2)), layer])
    model.compile(keras.optimizers.SGD(1.0), lambda y, p: ops.sum(p, axis=(1, 2)))
    model.fit(x, np.zeros(3), batch_size=3, verbose=0)
    np.testing.assert_allclose(array(layer.beta), [-4.0, -4.0], rtol=1e-5)  # the mean over 3 examples of 4 steps
    np.testing.assert_allclose(array(layer.gamma), 1.0, atol=1e-5)


def test_saved_and_loaded(tmp_path):
    layer = kb.TimeBatchNormalization(threshold=0.5, momentum=0.5, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((4, 2)), layer, kb.LIF()])
    x = draw(3, 4, 2)
    assert keras.backend.standardize_dtype(layer(x, training=True).dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {"float32"}
    model.save(tmp_path / "model.keras")
    copy = kb.load_model(tmp_path / "model.keras")
    assert copy.layers[0].get_config() == layer.get_config()
    np.testing.assert_array_equal(array(copy.layers[0].moving_mean), array(layer.moving_mean))
    np.testing.assert_array_equal(array(ops.cast(copy(x), "float32")), array(ops.cast(model(x), "float32")))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"momentum": 1.5}, "momentum must be a finite number from 0 to 1, received 1.5"),
        ({"epsilon": 0}, "epsilon must be a finite number above 0, received 0"),
        ({"threshold": 0.0}, "threshold must be a finite number above 0, received 0.0"),
        ({"threshold": 1.0, "scale": False}, "scale must be true with a threshold"),
        ({"axis": 1}, "TimeBatchNormalization must be given the arguments that it lists, received 'axis'"),
    ],
    ids=str,
)
def test_bad_parameter(bad, message):
    with pytest.raises(InputError) as error:
        kb.TimeBatchNormalization(**bad)
    assert str(error.value).startswith(message)


def test_bad_input():
    with pytest.raises(InputError, match=r"inputs must be of shape \(batch, time, \*features\) with known channels"):
        kb.TimeBatchNormalization().build((3, 2))
    with pytest.raises(InputError, match=r"mask must be of shape \(3, 4\), \(batch, time\), received \(3, 2\)"):
        kb.TimeBatchNormalization()(draw(3, 4, 2), training=True, mask=np.ones((3, 2), bool))
