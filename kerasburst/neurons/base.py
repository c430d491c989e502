"""Spiking neurons in general: a state that one step advances, as a layer over sequences and as a cell for RNNs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import keras
import tensorflow as tf

from kerasburst.neurons.scan import scan
from kerasburst.validation import InputError, check_bool, check_int, fail

State = dict[str, tf.Tensor]


class Neuron(keras.layers.Layer, ABC):
    """Neurons whose state `step` advances, elementwise.

    A model of neurons is one mixin with `step`, and `build_parameters` if it has weights; its layer derives from the
    mixin and `NeuronLayer`, its cell from the mixin and `NeuronCell`. See `kerasburst.neurons.lif`.

    Attributes:
        state_names: names of the state's tensors, each of the current's shape; the membrane comes first.
    """

    state_names: ClassVar[tuple[str, ...]] = ("mem",)

    @abstractmethod
    def step(self, current: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Return the spikes of one step and the state after it, all `(batch, *features)`.

        Args:
            current: the input of this step.
            state: the state after the step before, by name.
        """

    def build_parameters(self, features: tuple[int | None, ...]) -> None:
        """Create the weights of neurons of shape `features`."""

    def rest(self, like: tf.Tensor) -> State:
        """Return the state at rest, each tensor of the shape and dtype of `like`: zeros."""
        return {name: tf.zeros_like(like) for name in self.state_names}

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), **arguments_of(self)}


class NeuronLayer(Neuron):
    """Neurons as a layer over sequences; runs `step` over time.

    Args:
        return_sequences: return the spikes of all steps, or of the last one only.
        return_mem: also return the membrane, of all steps or the last, like the spikes.
        return_state: also return the final state, one output for each of `state_names`, to pass as `initial_state`.
        stateful: keep the final state for the next call; needs a static batch size.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(
        self,
        *,
        return_sequences: bool = True,
        return_mem: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs, autocast=False)
        self.return_sequences = check_bool("return_sequences", return_sequences)
        self.return_mem = check_bool("return_mem", return_mem)
        self.return_state = check_bool("return_state", return_state)
        self.stateful = check_bool("stateful", stateful)
        self._kept = None

    def run(self, current: tf.Tensor, state: State | None) -> tuple[tf.Tensor, State, State]:
        """Run over a sequence; a subclass may have a faster way.

        Returns:
            Spikes, the states at all steps (the membrane only if `return_mem` needs it), and the last state.
        """
        spk, states = scan(self, current, state)
        return spk, states, {name: values[:, -1] for name, values in states.items()}

    def build(self, input_shape):
        """Create the weights, and the kept state of a stateful layer."""
        if len(input_shape) < 2:
            raise fail("inputs", "of shape (batch, time, *features)", tuple(input_shape))
        self.build_parameters(tuple(input_shape[2:]))
        if self.stateful:
            shape = (input_shape[0], *input_shape[2:])
            if None in shape:
                raise InputError(f"inputs must have a static batch and feature shape where stateful, received {shape}")
            self._kept = _Kept(
                {
                    name: keras.Variable(value, trainable=False, dtype="float32", name=name)
                    for name, value in self.rest(tf.zeros(shape)).items()
                }
            )
        self.built = True

    def call(self, inputs, initial_state=None):
        """Run over `inputs` from `initial_state`."""
        if self._kept is not None:
            inputs = self._check_batch(inputs)
            if initial_state is None:
                initial_state = {name: variable.value for name, variable in self._kept.variables.items()}
        state = None if initial_state is None else self._checked(initial_state, inputs)
        spk, states, last = self.run(inputs, state)
        if self._kept is not None:
            for name, variable in self._kept.variables.items():
                variable.assign(last[name])
        if not self.return_sequences:
            spk, states = spk[:, -1], last
        outputs = [spk]
        if self.return_mem:
            outputs.append(states[self.state_names[0]])
        if self.return_state:
            outputs += [last[name] for name in self.state_names]
        return tuple(outputs) if len(outputs) > 1 else spk

    def _checked(self, state, inputs: tf.Tensor) -> State:
        """Return an initial state, a tensor, a list or a dict, as tensors by name."""
        if not isinstance(state, (list, tuple, Mapping)):
            state = [state]
        if len(state) != len(self.state_names) or (isinstance(state, Mapping) and set(state) != set(self.state_names)):
            names = list(state) if isinstance(state, Mapping) else f"{len(state)} tensors"
            raise InputError(f"initial_state must hold {', '.join(self.state_names)}, received {names}")
        if not isinstance(state, Mapping):
            state = dict(zip(self.state_names, state, strict=True))
        expected = inputs.shape[:1].concatenate(inputs.shape[2:])
        state = {name: tf.convert_to_tensor(state[name]) for name in self.state_names}
        for value in state.values():
            if not value.shape.is_compatible_with(expected):
                raise fail("initial_state", f"of shape {tuple(expected)}, (batch, *features)", tuple(value.shape))
        return state

    def _check_batch(self, inputs):
        expected = self._kept.variables[self.state_names[0]].shape[0]
        if inputs.shape[0] not in (None, expected):
            raise InputError(
                f"inputs must have the batch size {expected} that this stateful layer was built with, "
                f"received {inputs.shape[0]}"
            )
        return tf.ensure_shape(inputs, (expected, *inputs.shape[1:]))

    def reset_state(self) -> None:
        """Set the kept state of a stateful layer to rest."""
        if self._kept is not None:
            like = tf.zeros(self._kept.variables[self.state_names[0]].shape)
            for name, value in self.rest(like).items():
                self._kept.variables[name].assign(value)

    reset_states = reset_state  # the name that Keras' containers call

    def compute_output_spec(self, inputs, initial_state=None):
        """Return the shapes and dtypes of the outputs."""
        shape = tuple(inputs.shape)
        last = (shape[0], *shape[2:])
        sequence = shape if self.return_sequences else last
        dtype = "float64" if keras.backend.standardize_dtype(inputs.dtype) == "float64" else "float32"
        outputs = [keras.KerasTensor(sequence, dtype=self.compute_dtype)]
        if self.return_mem:
            outputs.append(keras.KerasTensor(sequence, dtype=dtype))
        if self.return_state:
            outputs += [keras.KerasTensor(last, dtype=dtype) for _ in self.state_names]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def compute_output_shape(self, input_shape):
        """Return the shapes of the outputs."""
        spec = self.compute_output_spec(keras.KerasTensor(tuple(input_shape)))
        return tuple(s.shape for s in spec) if isinstance(spec, tuple) else spec.shape


class NeuronCell(Neuron):
    """Neurons as a cell of `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        dtype: float32 (default) or float64.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(self, units: int, *, dtype=None, **kwargs):
        policy = keras.dtype_policies.get(dtype or "float32")
        if policy.compute_dtype not in ("float32", "float64"):
            raise fail("dtype", "float32 or float64, since a membrane loses spikes in 16 bits", policy.name)
        super().__init__(**kwargs, dtype=policy, autocast=False)
        self.units = check_int("units", units, low=1)

    @property
    def state_size(self) -> int | list[int]:
        """Size of the state, or of each of several."""
        sizes = [self.units for _ in self.state_names]
        return sizes if len(sizes) > 1 else self.units

    @property
    def output_size(self) -> int:
        """Size of the output, the spikes."""
        return self.units

    def build(self, input_shape):
        """Create the weights."""
        if input_shape[-1] != self.units:
            raise fail("inputs", f"of shape (batch, {self.units}), the cell's units", tuple(input_shape))
        self.build_parameters((self.units,))
        self.built = True

    def call(self, inputs, states, training=None):
        """Advance one step."""
        states = states if isinstance(states, (list, tuple)) else [states]
        state = dict(zip(self.state_names, states, strict=True))
        spk, state = self.step(tf.cast(inputs, self.compute_dtype), state)
        return spk, [state[name] for name in self.state_names]

    def get_initial_state(self, batch_size=None):
        """Return the state at rest."""
        return list(self.rest(keras.ops.zeros((batch_size, self.units), dtype=self.compute_dtype)).values())


class _Kept:
    """Keep the state where Keras does not track it: stateful and stateless networks then share weights."""

    def __init__(self, variables: dict[str, keras.Variable]):
        self.variables = variables


def arguments_of(layer: keras.layers.Layer) -> dict:
    """Return what a layer's constructors take besides Keras' own arguments, as its attributes of the same names.

    Example:
        >>> from kerasburst.neurons.lif import LIFCell
        >>> arguments_of(LIFCell(3, beta=0.5))["beta"]
        0.5
    """
    found = {}
    for cls in type(layer).__mro__:
        if cls.__module__.split(".")[0] in ("keras", "builtins", "abc"):
            continue
        if "__init__" in vars(cls):
            names = inspect.signature(cls.__init__).parameters
            found |= {name: vars(layer)[name] for name in names if name in vars(layer) and name not in found}
    plain = (bool, int, float, str, tuple, type(None))
    return {
        name: value if isinstance(value, plain) else keras.saving.serialize_keras_object(value)
        for name, value in found.items()
    }
