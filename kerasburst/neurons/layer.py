"""Neurons as a layer over sequences, by their step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kerasburst import backend
from kerasburst.neurons.base import ACTIVITY, Neuron
from kerasburst.neurons.scan import State, scan, wide
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError, check_bool, check_dense, fail, fits


class NeuronLayer(Neuron):
    """Neurons as a layer over sequences; runs `step` over time.

    Args:
        return_sequences: return the spikes of all steps, or of the last one only.
        return_mem: also return the membrane, of all steps or the last, like the spikes.
        return_state: also return the final state, one output for each of `state_names`, to pass as `initial_state`.
        stateful: keep the final state for the next call; needs a static batch size. `reset_state()` sets it to rest.
        go_backwards: run from the last step to the first; outputs are in the order in which they are computed.
        activity_regularizer: sees the spikes alone, not the membranes and states that are returned beside them; the
            membranes of neurons that never fire.
        **kwargs: as for `Neuron`.

    Call arguments:
        inputs: current `(batch, time, *features)`.
        initial_state: the state before the first step: one tensor, a list, or a dict by name; default at rest, or the
            kept state of a stateful layer.
        mask: bool `(batch, time)`. Where it is False, neurons do not spike and their state stays as it is, so that
            padding never changes what a sequence does; the last step is then the last one that is not masked.
    """

    def __init__(
        self,
        *,
        return_sequences: bool = True,
        return_mem: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        go_backwards: bool = False,
        activity_regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.return_sequences = check_bool("return_sequences", return_sequences)
        self.return_mem = check_bool("return_mem", return_mem)
        self.return_state = check_bool("return_state", return_state)
        self.stateful = check_bool("stateful", stateful)
        self.go_backwards = check_bool("go_backwards", go_backwards)
        self.spike_regularizer = keras.regularizers.get(activity_regularizer)
        self.supports_masking = True
        self._kept = None

    def run(self, current: Tensor, state: State | None, mask: Tensor | None = None):
        """Run over a sequence; a subclass may have a faster way.

        Returns:
            Spikes, the membrane at all steps (None unless it is returned), and the last state.
        """
        return_mem = self.return_sequences and (self.return_mem or not self.fires)
        if backend.runs_cpu_passes():
            from kerasburst.neurons.compiled import compiled_scan

            return compiled_scan(self, current, state, mask, return_mem=return_mem)
        spk, states = scan(self, current, state, mask)
        return spk, states[self.state_names[0]], {name: values[:, -1] for name, values in states.items()}

    def build(self, input_shape):
        """Create the weights, and the kept state of a stateful layer."""
        if len(input_shape) < 2:
            raise fail("inputs", "of shape (batch, time, *features)", tuple(input_shape))
        self.build_parameters(tuple(input_shape[2:]))
        if self.stateful:
            shape = (input_shape[0], *input_shape[2:])
            if None in shape:
                raise InputError(f"inputs must have a static batch and feature shape where stateful, received {shape}")
            self._kept = _Kept(self, shape)
        self.built = True

    def call(self, inputs, initial_state=None, mask=None):
        """Run over `inputs` from `initial_state`."""
        check_dense("inputs", inputs)
        inputs = ops.convert_to_tensor(inputs)
        if inputs.shape[1] == 0 or keras.backend.standardize_dtype(inputs.dtype) in (
            "string",
            "complex64",
            "complex128",
        ):
            raise fail("inputs", "numbers of at least one time step", f"{inputs.dtype} of shape {tuple(inputs.shape)}")
        if mask is not None and not fits(mask.shape, inputs.shape[:2]):
            raise fail("mask", f"of shape {tuple(inputs.shape[:2])}, (batch, time)", tuple(mask.shape))
        if self._kept is not None:
            inputs = self._check_batch(inputs)
            if initial_state is None:
                # Copies: PyTorch's backward pass wants the values of before, and the variables change in place.
                initial_state = {name: ops.copy(variable.value) for name, variable in self._kept.variables.items()}
        state = None if initial_state is None else self._checked(initial_state, inputs)
        if mask is not None:
            mask = ops.cast(mask, "bool")
        if self.go_backwards:
            inputs, mask = ops.flip(inputs, axis=1), None if mask is None else ops.flip(mask, axis=1)
        spk, mem, last = self.run(inputs, state, mask)
        if self._kept is not None:
            for name, variable in self._kept.variables.items():
                variable.assign(last[name])
        if not self.return_sequences:
            spk, mem = _last(spk, mask), last[self.state_names[0]]
        if self.spike_regularizer is not None:
            seen = spk if self.fires else mem
            count = ops.cast(ops.shape(seen)[0], seen.dtype)  # Keras divides by the batch, too
            self.add_loss(ops.divide_no_nan(self.spike_regularizer(seen), count))
        outputs = [spk, mem] if self.return_mem else [spk if self.fires else mem]
        if self.return_state:
            outputs += [last[name] for name in self.state_names]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def _checked(self, state, inputs: Tensor) -> State:
        """Return an initial state, a tensor, a list or a dict, as tensors by name."""
        if not isinstance(state, (list, tuple, Mapping)):
            state = [state]
        if len(state) != len(self.state_names) or (isinstance(state, Mapping) and set(state) != set(self.state_names)):
            names = list(state) if isinstance(state, Mapping) else f"{len(state)} tensors"
            raise InputError(f"initial_state must hold {', '.join(self.state_names)}, received {names}")
        if not isinstance(state, Mapping):
            state = dict(zip(self.state_names, state, strict=True))
        expected = (inputs.shape[0], *inputs.shape[2:])
        state = {name: ops.convert_to_tensor(state[name]) for name in self.state_names}
        for value in state.values():
            if not fits(value.shape, expected):
                raise fail("initial_state", f"of shape {expected}, (batch, *features)", tuple(value.shape))
        return state

    def _check_batch(self, inputs):
        expected = self._kept.variables[self.state_names[0]].shape[0]
        if inputs.shape[0] not in (None, expected):
            raise InputError(
                f"inputs must have the batch size {expected} that this stateful layer was built with, "
                f"received {inputs.shape[0]}"
            )
        return backend.ensure_shape(inputs, (expected, *inputs.shape[1:]))

    def reset_state(self) -> None:
        """Set the kept state of a stateful layer to rest."""
        if self._kept is not None:
            for name, variable in self._kept.variables.items():
                variable.assign(self.rest(ops.zeros(variable.shape))[name])

    reset_states = reset_state  # the name that Keras' containers call

    @property
    def variables(self):
        """Return the weights; on JAX, where steps are pure functions, also the kept state, for Keras to pass on."""
        kept = [] if self._kept is None or backend.name != "jax" else list(self._kept.variables.values())
        return super().variables + kept

    def compute_mask(self, inputs, previous_mask):
        """Return a mask for each output: the input's for sequences, in their order; None for the others."""
        mask = keras.tree.flatten(previous_mask)[0] if isinstance(previous_mask, (list, tuple)) else previous_mask
        if mask is None or not self.return_sequences:
            mask = None
        elif self.go_backwards:
            mask = ops.flip(mask, axis=1)
        masks = [mask] * (1 + self.return_mem) + [None] * (len(self.state_names) * self.return_state)
        return masks if len(masks) > 1 else mask

    def compute_output_spec(self, inputs, initial_state=None, mask=None):
        """Return the shapes and dtypes of the outputs."""
        shape = tuple(inputs.shape)
        last = (shape[0], *shape[2:])
        sequence = shape if self.return_sequences else last
        dtype = wide(inputs.dtype)
        spk, mem = (keras.KerasTensor(sequence, dtype=each) for each in (self.compute_dtype, dtype))
        outputs = [spk, mem] if self.return_mem else [spk if self.fires else mem]
        if self.return_state:
            outputs += [keras.KerasTensor(last, dtype=dtype) for _ in self.state_names]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, input_shape):
        """Return the shapes of the outputs."""
        spec = self.compute_output_spec(keras.KerasTensor(tuple(input_shape)))
        return tuple(s.shape for s in spec) if isinstance(spec, tuple) else spec.shape

    def get_config(self):
        """Return the constructor's arguments."""
        regularizer = keras.regularizers.serialize(self.spike_regularizer) if self.spike_regularizer else None
        return {**super().get_config(), ACTIVITY: regularizer}


class _Kept:
    """Keep the state where Keras does not track it: stateful and stateless networks then share weights."""

    def __init__(self, neurons: NeuronLayer, shape: tuple[int, ...]):
        def at_rest(name):
            return lambda shape, dtype=None: neurons.rest(ops.zeros(shape, dtype))[name]

        self.variables = {
            name: keras.Variable(at_rest(name), shape=shape, trainable=False, dtype="float32", name=name)
            for name in neurons.state_names
        }


def _last(spk: Tensor, mask: Tensor | None) -> Tensor:
    """Return the spikes of the last step, or of the last one that is not masked."""
    if mask is None:
        return spk[:, -1]
    back = ops.argmax(ops.cast(ops.flip(mask, axis=1), "int32"), axis=1)  # 0 where all is masked: there are no spikes
    index = ops.reshape(ops.shape(spk)[1] - 1 - ops.cast(back, "int32"), (-1, 1, *[1] * (len(spk.shape) - 2)))
    return ops.take_along_axis(spk, index, axis=1)[:, 0]
