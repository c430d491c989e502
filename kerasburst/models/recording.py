"""What the neurons of any Keras model do: spikes, membranes and firing rates by layer, seen in a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasburst.models.observing import as_arrays, observe
from kerasburst.validation import InputError, check_int


def record(model: keras.layers.Layer, x: Any) -> dict[str, dict[str, np.ndarray]]:
    """Record the spikes and membranes of all neurons of a model in one forward pass.

    The model is called with `training=False` and is then as it was: a stateful layer keeps the state it had, and an
    encoder inside draws again in the next call what was recorded here.

    Args:
        model: any Keras model or layer with our neuron layers, or with `keras.layers.RNN` of our cells, at any depth.
            One that is not built is built.
        x: what the model takes.

    Returns:
        By layer, in the order in which they run, the float32 arrays "spk" and "mem", each
        `(batch, num_steps, *features)`, whatever the layer itself returns; "mem" is missing for a neuron of one's own
        whose `call` does not use `run`. The key is the layer's name; where several layers share it, the names of the
        models around it go before, as in "block/lif". The second run of a shared layer is "lif (2)". With
        `go_backwards`, steps are in the order in which they are computed.

    Raises:
        InputError: for a model without neurons, or with neurons that run in compiled functions only.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> model = keras.Sequential([LIF(beta=0.5, return_sequences=False, name="lif")])
        >>> found = record(model, np.float32([[[1.5], [0.5], [0.5]]]))
        >>> found["lif"]["spk"].ravel().tolist(), found["lif"]["mem"].ravel().tolist()
        ([1.0, 0.0, 0.0], [1.5, 0.25, 0.625])
    """
    return {
        run.name: {"spk": run.spk} | ({} if run.mem is None else {"mem": run.mem}) for run in observe(model, x).runs
    }


def simulate(model: keras.layers.Layer, x: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Compute the spikes of all neurons of a model by layer, and the membrane of the last one.

    Args:
        model: as for `record`, which also returns the membranes of the other layers.
        x: what the model takes.

    Returns:
        The spikes by layer and the membrane, each `(batch, num_steps, *features)`.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> spikes, mem = simulate(keras.Sequential([LIF(name="lif")]), np.float32([[[1.5], [0.5]]]))
        >>> spikes["lif"].ravel().tolist()
        [1.0, 0.0]
    """
    runs = observe(model, x).runs
    if runs[-1].mem is None:
        raise InputError(f"the membrane of layer {runs[-1].name} is not known: its own call does not use `run`")
    return {run.name: run.spk for run in runs}, runs[-1].mem


def firing_rates(model: keras.layers.Layer, x: Any, batch_size: int = 128) -> dict[str, float]:
    """Compute the mean firing rate of each layer of neurons over `x`, in spikes per neuron and step.

    Args:
        model: as for `record`.
        x: what the model takes: an array, or a structure of arrays.
        batch_size: examples at once.

    Returns:
        By layer, in the order in which they run, after "input": the spikes of an encoder inside, or `x` itself where
        it is one array of zeros and ones.

    Example:
        >>> from kerasburst.neurons.lif import LIF
        >>> firing_rates(keras.Sequential([LIF(name="lif")]), np.float32([[[1.5], [0.5]]]))
        {'lif': 0.5}
    """
    return mean_rates([(size, observe(model, part).rates()) for part, size in batches(x, batch_size)])


def mean_rates(parts: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Return the mean of rates by name over parts of so many examples; a name that a part lacks is left out."""
    names = [name for name in parts[0][1] if all(name in rates for _, rates in parts)]
    count = sum(size for size, _ in parts)
    return {name: sum(size * rates[name] for size, rates in parts) / count for name in names}


def batches(x: Any, batch_size: int) -> Iterator[tuple[Any, int]]:
    """Yield parts of at most `batch_size` examples of an array or a structure of arrays, and their sizes."""
    check_int("batch_size", batch_size, low=1)
    x = as_arrays(x)
    count = len(keras.tree.flatten(x)[0])
    if count == 0:
        raise InputError("x must hold at least one example, received none")
    for start in range(0, count, batch_size):
        yield keras.tree.map_structure(lambda a: a[start : start + batch_size], x), min(batch_size, count - start)  # noqa: B023
