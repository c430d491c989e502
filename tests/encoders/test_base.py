"""What a new encoder gets from the base class."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from kerasburst.data.pipeline import make_dataset
from kerasburst.encoders.base import Encoder
from kerasburst.validation import InputError


@keras.saving.register_keras_serializable("kerasburst_tests")
class Threshold(Encoder):
    """Spike at every step where an intensity, mapped, is above a level."""

    random = False

    def __init__(self, num_steps, *, level=0.5, warp=keras.activations.linear, seed=None, **kwargs):
        super().__init__(num_steps, seed=seed, **kwargs)
        self.level = level
        self.warp = keras.saving.deserialize_keras_object(warp) if isinstance(warp, dict) else warp

    def encode(self, x, seed):
        return ops.repeat(ops.cast(self.warp(x) > self.level, "uint8")[:, None], self.num_steps, axis=1)

    def probability(self, x):
        return ops.cast(self.encode(x, None), "float32")


@keras.saving.register_keras_serializable("kerasburst_tests")
class Inverse(Threshold):
    """Add a parameter to the parent's."""

    def __init__(self, num_steps, *, share=1.0, **kwargs):
        super().__init__(num_steps, **kwargs)
        self.share = share


@keras.saving.register_keras_serializable("kerasburst_tests")
class Half(Threshold):
    """Fix a parameter of the parent."""

    def __init__(self, num_steps, seed=None):
        super().__init__(num_steps, level=0.25, seed=seed)


@keras.saving.register_keras_serializable("kerasburst_tests")
class Renamed(Inverse):
    """Have no constructor of its own."""


@keras.saving.register_keras_serializable("kerasburst_tests")
def squared(x):
    return x * x


def parameters(encoder):
    return {name: value for name, value in encoder.get_config().items() if name not in ("name", "trainable", "dtype")}


def test_the_config_holds_every_argument_of_the_signatures():
    base = {"num_steps": 3, "seed": 5, "level": 0.25}
    encoder = Threshold(3, level=0.25, warp=squared, seed=5)
    assert {**parameters(encoder), "warp": None} == {**base, "warp": None}
    for cls in (Inverse, Renamed):
        config = parameters(cls(3, level=0.25, warp=squared, seed=5, share=0.5))
        assert {**config, "warp": None} == {**base, "share": 0.5, "warp": None}


def test_a_config_leaves_out_what_the_constructor_does_not_take():
    config = Half(3, seed=1).get_config()
    assert parameters(Half(3, seed=1)) == {"num_steps": 3, "seed": 1} and "level" not in config
    assert Half(**parameters(Half(3, seed=1))).level == 0.25


@pytest.mark.parametrize("cls", [Threshold, Inverse, Renamed])
def test_a_new_encoder_survives_its_config_and_a_file(cls, tmp_path):
    x = np.float32([[0.1, 0.4, 0.6, 0.9]])
    encoder = cls(2, level=0.25, warp=squared)
    again = cls.from_config(json.loads(json.dumps(encoder.get_config())))
    assert again.warp is squared and ops.convert_to_numpy(again(x))[0].tolist() == [[0, 0, 1, 1]] * 2
    model = keras.Sequential([keras.Input((4,)), encoder])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), encoder(x))
    assert model.output_shape == (None, 2, 4)


class Neither(Encoder):
    random = False

    def probability(self, x):
        return x


class Flat(Neither):
    def encode(self, x, seed):
        return x


def test_an_encoder_needs_encode():
    with pytest.raises(InputError, match=r"Neither must define encode\(x, seed\)"):
        Neither(3)


def test_spikes_of_another_shape_are_refused_wherever_they_are_drawn():
    x = np.full((2, 4), 0.5, "float32")
    with pytest.raises(InputError, match=r"^Flat.encode must be spikes of shape \(2, 3, 4\), received \(2, 4\)$"):
        Flat(3)(x)
    with pytest.raises(InputError, match=r"^Flat.encode must be spikes of shape \(None, 3, 4\)"):
        make_dataset(x, [0, 1], Flat(3), 2, 0)


@pytest.mark.parametrize("x", [np.array([["a"]]), np.array([[None]]), np.ones((1, 2), complex), [["a"]]])
def test_what_is_no_number_is_one_line(x):
    """Keras would put its description of the call around the line, or cast away what is not real."""
    with pytest.raises(InputError, match="^inputs must be an array of numbers, received [^\n]*$"):
        Threshold(2)(x)
    with pytest.raises(InputError, match="^inputs must be in the range 0 to 1, received [^\n]*$"):
        Threshold(2)(np.array([[2.0]]))
