"""The parameters that encoders, networks and neurons take from `--set` and from configs, by their signatures."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

from kerasburst.registry import ENCODERS, NETWORKS, NEURONS
from kerasburst.validation import InputError, check_bool, fail, one_line, suggestion


@contextlib.contextmanager
def refusing(scope: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Name the parameters in the error of a class from outside the package that does not check them itself."""
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        received = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise InputError(f"the parameters of {scope} must be right, received {received}: {one_line(error)}") from None


def with_trainable(encoder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an encoder's parameters with "trainable", which stands for all that can be trained, spelt out.

    Example:
        >>> with_trainable({"trainable": True, "trainable_intensity_map": False})
        {'trainable_burst_size': True, 'trainable_intensity_map': False}
    """
    if "trainable" not in encoder:
        return encoder
    value = check_bool("encoder.trainable", encoder["trainable"])
    others = {name: given for name, given in encoder.items() if name != "trainable"}
    return {"trainable_burst_size": value, "trainable_intensity_map": value, **others}


def default_network(kind: str) -> str:
    """Return the name of the network that is made for a kind of data.

    Args:
        kind: "image" or "tabular".

    Example:
        >>> default_network("image"), default_network("tabular")
        ('SNNConvNet', 'SNNFCNet')
    """
    return next(name for name in NETWORKS if NETWORKS[name].default_for == kind)


def parameters(scope: str, name: str = "") -> dict[str, Any]:
    """Return the parameters that `--set` takes for a class, with their defaults, from its signature.

    Args:
        scope: "encoder", "model" or "neuron".
        name: of the encoder, network or neuron; LIF's for a neuron without a name.

    Example:
        >>> parameters("encoder", "rate")
        {'mode': 'bernoulli', 'gain': 1.0}
    """
    given_elsewhere = {"self", "num_steps", "num_classes", "seed", "encoder", "kwargs"}
    if scope == "neuron":
        given_elsewhere |= {"return_sequences", "return_mem", "return_state", "stateful", "go_backwards"}
        given_elsewhere |= {"activity_regularizer"}
    elif scope == "model":
        given_elsewhere |= {"neuron_options", *parameters("neuron")}
    cls = {"encoder": ENCODERS, "model": NETWORKS, "neuron": NEURONS}[scope][name or "lif"]
    found = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] not in ("keras", "torch", "builtins", "abc") and "__init__" in vars(base):
            for parameter in inspect.signature(vars(base)["__init__"]).parameters.values():
                if parameter.name not in given_elsewhere:
                    found[parameter.name] = parameter.default
    return found


def filled(scope: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a class, as config.json can hold them: those given, and defaults for the others.

    `none` on the command line is None, and a word where the default is one: `neuron.reset_mechanism=none`.

    Raises:
        InputError: for a parameter that the class does not have.
    """
    defaults = parameters(scope, name)
    check_names(scope, defaults, given)
    words = {name: "none" for name, value in given.items() if value is None and isinstance(defaults[name], str)}
    values = {**defaults, **given, **words}
    return {name: as_json(f"{scope}.{name}", value) for name, value in values.items()}


def as_json(argument: str, value: Any) -> Any:
    """Return a parameter as config.json can hold it; a surrogate or an intensity map as Keras serialises it."""
    if isinstance(value, (tuple, list)):
        return [as_json(argument, item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return value.item()
    if callable(value) or hasattr(value, "get_config"):
        import keras

        return keras.saving.serialize_keras_object(value)
    try:
        json.dumps(value)
    except TypeError:
        raise fail(argument, "a value that JSON can hold, or a registered Keras object", value) from None
    return value


def check_names(scope: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise for a given name that is not among the known ones."""
    for name in given:
        if name not in known:
            raise InputError(
                f"{scope}.{name} is unknown: {scope} has {', '.join(known) or 'no parameters'}"
                + suggestion(name, known)
            )
