"""What all spiking neurons have: parameters, and a state that one step advances."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from kerasburst.neurons.parameters import Parameter, checked
from kerasburst.neurons.scan import State
from kerasburst.neurons.surrogate import Tensor
from kerasburst.validation import InputError, check_bool, fail, known_keywords

_RULES, ACTIVITY = ("_regularizer", "_constraint"), "activity_regularizer"


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
        rules = {name: kwargs.pop(name) for name in list(kwargs) if name.endswith(_RULES) and name != ACTIVITY}
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
