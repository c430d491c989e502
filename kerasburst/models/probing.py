"""What a network is asked beside its logits: membrane traces and firing rates, in batches and compiled."""

from __future__ import annotations

import operator
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from kerasburst import backend
from kerasburst.models.observing import as_arrays
from kerasburst.neurons.base import Neuron
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError, fail


class Probed(keras.Model):
    """The part of `SpikingNetwork` that watches its own forward pass."""

    _compiled: _Compiled | None = None

    def membrane_trace(self, inputs, batch_size: int = 128) -> np.ndarray:
        """Return the output neurons' membrane at every step.

        Args:
            inputs: what the network takes, `(n, ...)`.
            batch_size: examples at once.

        Returns:
            float32 array `(n, num_steps, num_classes)`; with readout "last", `[:, -1]` are the logits.
        """
        return np.concatenate([ops.convert_to_numpy(mem) for _, mem, _ in self._probe_batches(inputs, batch_size)])

    def firing_rates(self, inputs, batch_size: int = 128) -> dict[str, float]:
        """Compute each LIF layer's mean firing rate over `inputs`, in spikes per neuron and step.

        Layers are named in the order of the network, after "input", the rate of the input spikes.
        """
        total: dict[str, float] = {}
        count = 0
        for _, mem, rates in self._probe_batches(inputs, batch_size):
            count += len(mem)
            for name, rate in rates.items():
                total[name] = total.get(name, 0.0) + len(mem) * float(rate)
        names = ["input", *(part.name for part in self.leaves() if isinstance(part, Neuron))]  # JAX sorts dicts
        return {name: total[name] / count for name in names}

    def _probe_batches(self, inputs, batch_size: int):
        inputs = as_arrays(inputs)
        if len(inputs) == 0:
            raise InputError("inputs must hold at least one example, received none")
        for start in range(0, len(inputs), batch_size):
            yield self.probe_batch(inputs[start : start + batch_size], min(batch_size, len(inputs)))

    @property
    def traced_probe(self) -> Callable:
        """`probe` as a graph that is shared by all callers and traced once for each shape.

        It is made anew after a layer was quantised, adapted or replaced: a graph keeps the layers it was traced with.
        """
        layers = [part for part in self.leaves() if isinstance(part, keras.layers.Layer)]
        parts = [each for layer in layers for each in (layer, *layer.variables)]
        if self._compiled is None or not self._compiled.is_of(parts):
            self._compiled = _Compiled(backend.jit(self.probe, self), parts)
        return self._compiled.function

    def probe(self, inputs, count: Tensor | None = None, mask=None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Compute one batch's logits, membrane trace, and firing rate by layer; for use in a compiled function.

        Args:
            inputs: what the network takes.
            count: compute the rates over this many of the first `inputs`; None for all.
            mask: as for `call`; rates are over the steps that are no padding.
        """
        if not self.built:
            self.build(inputs.shape)
        spikes, mask = self.spikes_of(inputs, mask)
        masked = {} if mask is None else {"mask": mask}  # subclasses need not know of masks
        activity, mem = self.simulate(spikes, **masked)
        trains = {"input": spikes, **activity}
        rates = {name: ops.mean(ops.cast(spk[:count], "float32")) for name, spk in trains.items()}
        if mask is not None:
            live = ops.mean(ops.cast(mask[:count], "float32"))
            rates = {name: rate / live for name, rate in rates.items()}
        return self.read_out(activity["output_lif"], mem, **masked), mem, rates

    def probe_batch(self, inputs, size: int, mask=None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Probe a batch, on TensorFlow padded to `size` examples so that no new shape is compiled.

        A network with an encoder inside gets the batch unpadded, since its draws depend on the batch.

        Args:
            inputs: what the network takes, at most `size` examples.
            size: number of examples in the larger batches.
            mask: as for `call`.

        Raises:
            InputError: for more than `size` examples.
        """
        count = len(inputs)
        if count > size:
            raise fail("inputs", f"at most {size} examples", count)
        if not self.built:  # not inside the compiled function, which may not make variables on JAX
            self.build(tuple(np.shape(inputs)))
        if self.encoder is None:  # before a graph is traced for the shape, or for any
            self.check_shape(np.shape(inputs))
        if backend.name != "tensorflow":
            mask = None if mask is None else ops.convert_to_tensor(np.asarray(mask))
            inputs = ops.convert_to_tensor(np.asarray(inputs))  # tf.data's are TensorFlow's
            return self.traced_probe(inputs, None, mask)
        inputs = ops.convert_to_tensor(inputs)
        missing = size - count if self.encoder is None else 0
        filled = ops.pad(inputs, [[0, missing], *[[0, 0]] * (len(inputs.shape) - 1)]) if missing else inputs
        if mask is not None:
            mask = ops.pad(ops.cast(mask, "int32"), [[0, missing], [0, 0]])
        logits, mem, rates = self.traced_probe(filled, ops.convert_to_tensor(count), mask)
        return logits[:count], mem[:count], rates


class _Compiled:
    """A compiled function and the layers and variables that it was made for, out of sight of Keras' tracking."""

    def __init__(self, function: Callable, parts: list):
        self.function, self._parts = function, parts

    def is_of(self, parts: list) -> bool:
        return len(parts) == len(self._parts) and all(map(operator.is_, parts, self._parts))
