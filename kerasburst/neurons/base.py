"""Spiking neurons in general: a state that one step advances, as a layer over sequences and as a cell for RNNs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from kerasburst import backend
from kerasburst.neurons.parameters import Parameter, checked
from kerasburst.neurons.scan import State, advanced, scan, wide
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError, check_bool, check_int, fail, fits, known_keywords

_RULES, _ACTIVITY = ("_regularizer", "_constraint"), "activity_regularizer"


class Neuron(keras.layers.Layer, ABC):
    """Base class of neurons: a state that `step` advances by one time step.

    A new neuron is one subclass with `step`; its layer derives from that and `NeuronLayer`, its cell from that and
    `NeuronCell`. Gradients, masks, streaming and saving follow from `step`. See the page "Extend kerasburst".

    Args:
        **kwargs: as for `keras.layers.Layer`; and `NAME_regularizer` and `NAME_constraint` for each trained parameter.

    Attributes:
        state_names: names of the state's tensors, each of the current's shape; the membrane comes first.
        fires: whether the output is spikes; the membrane where it is False, as of a readout.
    """

    state_names: ClassVar[tuple[str, ...]] = ("mem",)
    fires: ClassVar[bool] = True

    def __init__(self, **kwargs):
        rules = {name: kwargs.pop(name) for name in list(kwargs) if name.endswith(_RULES) and name != _ACTIVITY}
        with known_keywords(self):
            super().__init__(**kwargs, autocast=False)
        if not isinstance(self.state_names, list | tuple) or not self.state_names:
            raise fail(f"{type(self).__name__}.state_names", "a tuple of one or more names", self.state_names)
        self._rules = {
            name: (keras.regularizers if name.endswith(_RULES[0]) else keras.constraints).get(rule)
            for name, rule in rules.items()
        }
        self._own_parameters: dict[str, Parameter] = {}
        self._parameter_weights: dict[str, keras.Variable | None] = {}

    @abstractmethod
    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the spikes of one step and the state after it, all `(batch, *features)`.

        Args:
            current: the input of this step.
            state: the state after the step before, by name.
        """

    def rest(self, like: Tensor) -> State:
        """Return the state at rest, each tensor of the shape and dtype of `like`: zeros."""
        return {name: ops.zeros_like(like) for name in self.state_names}

    # Parameters ---------------------------------------------------------------------------

    def add_parameter(
        self, name: str, value: object, *, trainable: bool = False, per_neuron: bool = False, **bounds: float
    ) -> None:
        """Check a parameter and keep it as the attribute `name`; `parameter(name)` is its value to compute with.

        Args:
            name: of the constructor's argument.
            value: a number, an array that broadcasts to the neurons, or a Keras initializer.
            trainable: whether it is trained.
            per_neuron: whether a trained number becomes a value for each neuron.
            **bounds: `low`, `high`, `above`, `below`, as for `kerasburst.validation.check_float`.

        Raises:
            InputError: for another value, or one out of bounds.
        """
        setattr(self, name, checked(name, value, **bounds))
        rules = {rule[1:]: self._rules.get(name + rule) for rule in _RULES}
        check_bool(f"trainable_{name}", trainable)
        for rule, given in rules.items():
            if given is not None and not trainable:
                raise InputError(f"{name}_{rule} must be None unless {name} is trained")
        self._own_parameters[name] = Parameter(name, getattr(self, name), bounds, trainable, per_neuron, **rules)

    def build_parameters(self, features: tuple[int | None, ...]) -> None:
        """Create the weights of neurons of shape `features`."""
        for rule in self._rules:
            if rule.rpartition("_")[0] not in self._own_parameters:
                raise fail(rule.rpartition("_")[2], f"of one of {', '.join(self._own_parameters)}", rule)
        for name, parameter in self._own_parameters.items():
            self._parameter_weights[name] = parameter.add_to(self, features)

    def parameter(self, name: str, dtype: str = "float32") -> float | Tensor:
        """Return a parameter's value to compute with: a number, or a tensor of `dtype` inside its bounds."""
        weight = self._parameter_weights.get(name)
        return getattr(self, name) if weight is None else self._own_parameters[name].read(weight, dtype)

    def neuron_parameters(self, dtype: str = "float32") -> dict[str, Any]:
        """Return all parameters by name, as `parameter` returns each."""
        return {name: self.parameter(name, dtype) for name in self._own_parameters}

    # Saving --------------------------------------------------------------------------------

    def get_config(self):
        """Return the constructor's arguments."""
        rules = {
            name: keras.saving.serialize_keras_object(rule) for name, rule in self._rules.items() if rule is not None
        }
        return {**super().get_config(), **arguments_of(self), **rules}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config`."""
        return cls(**named(config))


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
        return {**super().get_config(), _ACTIVITY: regularizer}


class NeuronCell(Neuron):
    """Neurons as a cell of `keras.layers.RNN`.

    Args:
        units: number of neurons, equal to the input's last axis.
        dtype: float32 (default) or float64.
        **kwargs: as for `Neuron`.

    Raises:
        InputError: on JAX, for a mask in an RNN without `zero_output_for_mask` or `unroll`: Keras' loop there takes a
            cell's first state, the membrane, for the spikes of masked steps.
    """

    def __init__(self, units: int, *, dtype=None, **kwargs):
        policy = keras.dtype_policies.get(dtype or "float32")
        if policy.compute_dtype not in ("float32", "float64"):
            raise fail("dtype", "float32 or float64, since a membrane loses spikes in 16 bits", policy.name)
        super().__init__(**kwargs, dtype=policy)
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
        if self.fires and backend.name == "jax" and backend.repeats_first_state():
            raise InputError(
                "mask must come with zero_output_for_mask=True or unroll=True in an RNN on JAX, where Keras otherwise "
                "returns the membrane for the spikes of masked steps"
            )
        states = states if isinstance(states, (list, tuple)) else [states]
        state = dict(zip(self.state_names, states, strict=True))
        spk, state = advanced(self.step, ops.cast(inputs, self.compute_dtype), state)
        return spk if self.fires else state[self.state_names[0]], [state[name] for name in self.state_names]

    def get_initial_state(self, batch_size=None):
        """Return the state at rest."""
        return list(self.rest(ops.zeros((batch_size, self.units), dtype=self.compute_dtype)).values())


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


def arguments_of(layer: keras.layers.Layer) -> dict:
    """Return what a layer's constructors take besides Keras' own arguments, as its attributes of the same names.

    Example:
        >>> from kerasburst.neurons.lif import LIFCell
        >>> arguments_of(LIFCell(3, beta=0.5))["beta"]
        0.5
    """
    found: dict[str, Any] = {}
    own = vars(layer) | vars(layer).get("_modules", {})  # PyTorch keeps layers inside a layer there
    for cls in type(layer).__mro__:
        if cls.__module__.split(".")[0] in ("keras", "builtins", "abc"):
            continue
        if "__init__" in vars(cls):
            names = inspect.signature(vars(cls)["__init__"]).parameters
            found |= {name: own[name] for name in names if name in own and name not in found}
    return {name: _as_config(value) for name, value in found.items()}


def _as_config(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, tuple, type(None))):
        return value
    return value.tolist() if isinstance(value, np.ndarray) else keras.saving.serialize_keras_object(value)


def named(config: dict) -> dict:
    """Return a config with words that Keras' .h5 reader took for functions, such as "subtract", as words again.

    Example:
        >>> named({"reset_mechanism": keras.layers.subtract})
        {'reset_mechanism': 'subtract'}
    """
    return {name: value.__name__ if inspect.isfunction(value) else value for name, value in config.items()}
