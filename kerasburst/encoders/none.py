"""No coding: the data holds spikes."""

from __future__ import annotations

import keras

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.encoders.draws import as_tensor, ops_of
from kerasburst.validation import InputError, check_bool, fail


class SpikeTrainEncoder(Encoder):
    """The base of encoders whose inputs are spikes already, `(batch, num_steps, *features)`.

    Steps that are padding hold -1 in all features, as int8. `encode` keeps them, so that a network that receives its
    int8 spikes knows them; a call of the layer and the probabilities have 0 there.

    Args:
        num_steps: T, time steps of the data, at least 1.
        seed: int of at least 0, or None.
        **kwargs: as for `keras.layers.Layer`.
    """

    encoded = True
    most = 1  # the largest value of an input

    def check(self, inputs, argument: str = "inputs"):
        """Return spikes as a uint8 tensor, int8 if steps are padding, or raise an `InputError` for the argument."""
        x = as_tensor(inputs, argument)
        self.compute_output_shape(x.shape)
        module = backend.of(x)
        dtype = keras.backend.standardize_dtype(x.dtype)
        x = module.ops.cast(x, "uint8") if dtype == "bool" else x
        whole, least = module.ops.cast(x, "int32"), -1 if dtype == "int8" else 0
        inside = module.ops.all((module.ops.cast(whole, x.dtype) == x) & (whole >= least) & (whole <= self.most))
        allowed = "spikes, each 0 or 1" if self.most == 1 else f"counts from 0 to {self.most}"

        def error() -> InputError:
            values = keras.ops.convert_to_numpy(x)
            return fail(argument, allowed, f"values from {values.min():.7g} to {values.max():.7g}")

        x = module.check(x, inside, error, f"{argument} must be {allowed}")
        return x if dtype == "int8" else module.ops.cast(x, "uint8")

    def encode_as(self, x, seed, dtype: str):
        """Return the spikes in `dtype`; 0 in padding, but where int8 comes as bytes."""
        if keras.backend.standardize_dtype(x.dtype) != "int8":
            return self.spikes(x, seed, dtype)
        ops = ops_of(x)
        live = x >= 0
        spikes = self.spikes(ops.where(live, x, ops.zeros_like(x)), seed, "int8" if dtype == "uint8" else dtype)
        return ops.where(live, spikes, -ops.ones_like(spikes) if dtype == "uint8" else ops.zeros_like(spikes))

    def spikes(self, x, seed, dtype: str):
        """Return the spikes of a train without padding; a subclass has this."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        """Return the shape of the input, which has the time axis."""
        if len(input_shape) < 3:
            raise fail("inputs", "spikes of shape (batch, num_steps, *features)", tuple(input_shape))
        if input_shape[1] not in (None, self.num_steps):
            raise fail("num_steps", f"{input_shape[1]}, the time steps of the spikes", self.num_steps)
        return (input_shape[0], self.num_steps, *input_shape[2:])


@keras.saving.register_keras_serializable("kerasburst")
class NoEncoder(SpikeTrainEncoder):
    """Pass spikes on: for data that is encoded already, such as recordings of event cameras.

    out[t] = in[t].

    Args:
        num_steps: T, time steps of the data, at least 1.
        counts: whether the inputs are numbers of events, 0 to 255, which the first layer receives as currents.
        seed: int of at least 0, or None; nothing is drawn.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: spikes `(batch, num_steps, *features)`, each 0 or 1; of an event camera
            `(batch, num_steps, height, width, 2)`. As int8, steps that are padding hold -1 in all features.

    Returns:
        The same spikes, in the layer's compute dtype; 0 in padding.

    Raises:
        InputError: for bad parameters, another number of steps, or values other than 0 and 1.

    Example:
        >>> encoder = NoEncoder(num_steps=2)
        >>> encoder(keras.ops.convert_to_tensor([[[0, 1, 1], [1, 0, 0]]])).numpy().tolist()
        [[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]]
    """

    random = False

    def __init__(self, num_steps: int, *, counts: bool = False, seed: int | None = None, **kwargs):
        super().__init__(num_steps, seed=seed, **kwargs)
        self.counts = check_bool("counts", counts)
        self.spiking = not counts
        self.most = 255 if counts else 1

    def spikes(self, x, seed, dtype: str):
        """Return the spikes; the seed is not used."""
        return ops_of(x).cast(x, dtype)

    def probability(self, x):
        """Return P(spike at t): the spikes themselves."""
        return self.encode_as(x, None, "float32")
