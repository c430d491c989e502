"""Watch one call of a Keras model: what its neurons fire, and what its layers receive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasburst import backend
from kerasburst.encoders.base import Encoder
from kerasburst.neurons.cell import NeuronCell
from kerasburst.neurons.layer import NeuronLayer
from kerasburst.validation import InputError, check_dense, fail


@dataclass
class Run:
    """What one layer of neurons did in a forward pass.

    Args:
        name: of the layer, as `record` has it.
        neurons: the layer or cell.
        spk: float32 `(batch, num_steps, *features)`.
        mem: likewise, or None where it is not known.
    """

    name: str
    neurons: NeuronLayer | NeuronCell
    spk: np.ndarray
    mem: np.ndarray | None


@dataclass
class Received:
    """What one layer received in a forward pass.

    Args:
        layer: the layer.
        examples: length of the first axis of its input.
        total: the input's sum over that axis, float64.
        spikes: whether the input is zeros and ones only.
    """

    layer: keras.layers.Layer
    examples: int
    total: np.ndarray
    spikes: bool


@dataclass
class Observation:
    """What was seen in one forward pass, in the order in which it happened."""

    runs: list[Run] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    input_spikes: np.ndarray | None = None

    def rates(self) -> dict[str, float]:
        """Return the mean firing rate by layer, after "input" where the input is spikes."""
        trains = {} if self.input_spikes is None else {"input": self.input_spikes}
        trains |= {run.name: run.spk for run in self.runs}
        return {name: float(spk.mean(dtype=np.float64)) for name, spk in trains.items()}


class _NotEager(Exception):
    """A value is a symbol in a graph that is being traced."""


def observe(
    model: keras.layers.Layer, x: Any, listens: Callable[[keras.layers.Layer], bool] = lambda layer: False
) -> Observation:
    """Call a model once and return what its neurons did and what chosen layers received; change nothing in it.

    Args:
        model: as for `record`.
        x: likewise.
        listens: whether to note what a layer receives.
    """
    if not isinstance(model, keras.layers.Layer):
        raise fail("model", "a Keras model or layer", model)
    x = as_arrays(x)
    built = {id(layer) for layer in model._flatten_layers() if layer.built}
    if len(built) < len({id(layer) for layer in model._flatten_layers()}):
        with _unchanged(model):
            model(x, training=False)
        for layer in model._flatten_layers():
            if getattr(layer, "stateful", False) and id(layer) not in built:
                layer.reset_state()
    for eager in (False, True):
        with _unchanged(model), _run_eagerly() if eager else contextlib.nullcontext():
            try:
                seen = _observe_once(model, x, listens)
            except _NotEager:
                continue
            if seen.runs:
                return seen
    if any(isinstance(layer, (NeuronLayer, NeuronCell)) for layer in model._flatten_layers()):
        raise InputError("model must call its neurons, and not in a compiled function only, for them to be recorded")
    raise InputError(f"model must have layers of neurons, such as LIF, received {model.name} without any")


def _observe_once(model: keras.layers.Layer, x: Any, listens: Callable) -> Observation:
    seen, names = Observation(), _names(model)
    with contextlib.ExitStack() as stack:

        def replace(layer, name, function):
            stack.enter_context(patched([(layer, {name: function})]))

        def note(layer, neurons, spk, mem):
            name, count = names[id(neurons if id(neurons) in names else layer)], 1
            taken = {run.name for run in seen.runs}
            while (name if count == 1 else f"{name} ({count})") in taken:
                count += 1
            seen.runs.append(Run(name if count == 1 else f"{name} ({count})", neurons, spk, mem))

        for layer in {id(layer): layer for layer in model._flatten_layers()}.values():
            if isinstance(layer, NeuronLayer):
                _watch_neurons(layer, replace, note)
            elif isinstance(layer, keras.layers.RNN):
                _watch_rnn(layer, replace, note)
            elif isinstance(layer, Encoder):
                _watch_encoder(layer, replace, seen)
            elif isinstance(layer, keras.layers.TimeDistributed):
                replace(layer, "call", _merged_call(layer))
            if listens(layer):
                _watch_input(layer, replace, seen)
        if seen.input_spikes is None and hasattr(x, "shape"):
            array = as_array(x)
            if str(x.dtype).endswith("int8"):  # -1 says where steps are padding
                array = np.maximum(array, 0)
            seen.input_spikes = array if _are_spikes(array) else None
        model(x, training=False)
    return seen


def _watch_neurons(layer: NeuronLayer, replace: Callable, note: Callable) -> None:
    run, call, seen = layer.run, layer.call, {}

    def watched_run(current, state, *mask):
        with patched([(layer, {"return_sequences": True, "return_mem": True})]):
            result = run(current, state, *mask)
        mem = result[1][layer.state_names[0]] if isinstance(result[1], dict) else result[1]
        seen["spk"], seen["mem"] = as_array(result[0]), as_array(mem)
        return result

    def watched_call(*args, **kwargs):
        seen.clear()
        outputs = call(*args, **kwargs)
        spk = seen.get("spk")
        if spk is None or (layer.return_sequences and layer.fires):  # as a call of one's own returns them
            spk = as_array(keras.tree.flatten(outputs)[0])
        note(layer, layer, spk, seen.get("mem"))
        return outputs

    replace(layer, "run", watched_run)
    replace(layer, "call", watched_call)


def _watch_rnn(layer: keras.layers.RNN, replace: Callable, note: Callable) -> None:
    """Watch the cells step by step, the loop over time written out; Keras calls some cells once more before it."""
    cells = [cell for cell in getattr(layer.cell, "cells", [layer.cell]) if isinstance(cell, NeuronCell)]
    if not cells:
        return
    call = layer.call
    steps: dict[int, list] = {id(cell): [] for cell in cells}

    def watch(cell):
        step = cell.call

        def watched(*args, **kwargs):
            output, states = step(*args, **kwargs)
            mem = keras.tree.flatten(states)[0]
            spk = output if cell.fires else ops.zeros_like(output)
            steps[id(cell)].append((as_array(spk), as_array(mem)))
            return output, states

        replace(cell, "call", watched)

    def watched_call(sequences, initial_state=None, mask=None, training=False):
        with patched([(layer, {"unroll": True})]):
            outputs = call(sequences, initial_state=initial_state, mask=mask, training=training)
        for cell in cells:
            spk, mem = (
                np.stack(values, axis=1) for values in zip(*steps[id(cell)][-sequences.shape[1] :], strict=True)
            )
            if mask is not None:
                kept = ops.flip(mask, axis=1) if layer.go_backwards else mask
                spk, mem = _held(spk, mem, as_array(kept) > 0, zero=layer.zero_output_for_mask)
            note(layer, cell, spk, mem)
        return outputs

    for cell in cells:
        watch(cell)
    replace(layer, "call", watched_call)


def _held(spk: np.ndarray, mem: np.ndarray, mask: np.ndarray, zero: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes and membranes as `keras.layers.RNN` goes on with them: those of the step before where masked."""
    spk, mem = spk.copy(), mem.copy()
    for t in range(mask.shape[1]):
        masked = ~mask[:, t]
        spk[masked, t] = 0.0 if zero or t == 0 else spk[masked, t - 1]
        mem[masked, t] = 0.0 if t == 0 else mem[masked, t - 1]
    return spk, mem


def _watch_encoder(layer: Encoder, replace: Callable, seen: Observation) -> None:
    call = layer.call

    def watched(*args, **kwargs):
        outputs = call(*args, **kwargs)
        spikes = as_array(outputs)
        seen.input_spikes = spikes if _are_spikes(spikes) else None
        return outputs

    replace(layer, "call", watched)


def _watch_input(layer: keras.layers.Layer, replace: Callable, seen: Observation) -> None:
    name = "quantized_call" if getattr(layer, "quantization_mode", None) else "call"  # which Keras then calls instead
    call = getattr(layer, name)

    def watched(inputs, *args, **kwargs):
        array = as_array(inputs)
        seen.received.append(Received(layer, len(array), array.sum(axis=0, dtype=np.float64), _are_spikes(array)))
        return call(inputs, *args, **kwargs)

    replace(layer, name, watched)


def _merged_call(layer: keras.layers.TimeDistributed) -> Callable:
    """Return a call that applies the inner layer to all steps as one batch; Keras maps it over the steps in a graph."""
    call = layer.call

    def merged(inputs, training=None, mask=None):
        if mask is not None:
            return call(inputs, training=training, mask=mask)
        steps = inputs.shape[:2]
        outputs = layer.layer(ops.reshape(inputs, (-1, *inputs.shape[2:])), training=training)
        return keras.tree.map_structure(lambda y: ops.reshape(y, (*steps, *y.shape[1:])), outputs)

    return merged


def _names(model: keras.layers.Layer) -> dict[int, str]:
    """Return the name of each layer inside a model by its id: its own, or with those around it where several share it.

    The cell of an RNN goes by the RNN's name, or under it where it has several.
    """
    paths: dict[int, tuple[str, ...]] = {id(model): (model.name,)}

    def visit(layer, around):
        for child in layer._layers:
            if id(child) not in paths:
                paths[id(child)] = (*around, child.name)
                visit(child, paths[id(child)])

    visit(model, ())
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, NeuronCell):
            paths[id(layer.cell)] = paths[id(layer)]
    neurons = [id(layer) for layer in model._flatten_layers() if isinstance(layer, (NeuronLayer, NeuronCell))]
    own = [paths[each][-1] for each in dict.fromkeys(neurons)]
    return {each: paths[each][-1] if own.count(paths[each][-1]) == 1 else "/".join(paths[each]) for each in neurons}


def _are_spikes(x: np.ndarray) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def as_arrays(x: Any) -> Any:
    """Return an array or a structure of finite arrays with a batch axis; lists of numbers become an array."""
    leaves = keras.tree.flatten(x)
    if not leaves or not all(hasattr(leaf, "shape") for leaf in leaves):
        try:
            x = np.asarray(x)
        except ValueError:
            raise fail("x", "an array of numbers", x) from None
        leaves = [x]
    for leaf in leaves:
        check_dense("x", leaf)
        kind = getattr(getattr(leaf, "dtype", None), "kind", "f")  # of NumPy's alone
        if len(leaf.shape) == 0 or kind not in "biuf":
            raise fail("x", "an array of numbers with a batch axis, or a structure of such arrays", x)
        if kind == "f" and not np.isfinite(as_array(leaf)).all():
            raise InputError("x must hold finite numbers, received NaN or infinity")
    return x


def as_array(x: Any) -> np.ndarray:
    """Return float32 values; raise `_NotEager` for a symbol of a graph."""
    try:
        return ops.convert_to_numpy(ops.cast(x, "float32"))
    except (NotImplementedError, TypeError):  # TensorFlow's and JAX's words for a symbol
        raise _NotEager from None


@contextlib.contextmanager
def patched(patches: Iterable[tuple[keras.layers.Layer, dict[str, Any]]]) -> Iterator[None]:
    """Set attributes of layers, behind Keras' tracking, while the body runs; what they were comes back."""
    patches = [(vars(layer), attributes) for layer, attributes in patches if attributes]
    before = [{name: own[name] for name in attributes if name in own} for own, attributes in patches]
    try:
        for own, attributes in patches:
            own.update(attributes)
        yield
    finally:
        for (own, attributes), kept in zip(patches, before, strict=True):
            for name in attributes:
                own.pop(name, None)
            own.update(kept)


@contextlib.contextmanager
def _unchanged(model: keras.layers.Layer) -> Iterator[None]:
    """Put all variables that a forward pass may change back to what they were."""
    variables = list(model.non_trainable_variables)
    for layer in model._flatten_layers():
        kept = getattr(layer, "_kept", None)  # of our stateful layers
        variables += [] if kept is None else kept.variables.values()
        variables += keras.tree.flatten(getattr(layer, "states", None) or [])  # of stateful RNNs
    before = [(variable, np.array(ops.convert_to_numpy(variable))) for variable in variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


@contextlib.contextmanager
def _run_eagerly() -> Iterator[None]:
    """Run functions that a model compiles by itself, such as a `tf.function` around its call, step by step."""
    if backend.name != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
