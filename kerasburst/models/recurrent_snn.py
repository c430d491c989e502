"""The recurrent spiking network for spike trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork, shared_arguments
from kerasburst.models.forward import Part
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import check_sizes, fail


@keras.saving.register_keras_serializable("kerasburst")
class RecurrentSNN(SpikingNetwork):
    """Recurrent spiking network for spike trains, such as those of Spiking Heidelberg Digits.

    Hidden layers, each a Dense and `RecurrentLIF`, whose neurons receive each other's spikes of the step before; then a
    Dense and LIF.

        current[t] = x[t] W + b + spk[t-1] V

    Recordings of different lengths share a batch: at steps that a mask leaves out, or where int8 spikes are -1, neurons
    hold their states and do not fire, and readouts do not count them. For many steps, `recompute_steps` bounds the
    memory of training.

    Args:
        num_classes: C, at least 2.
        hidden_units: sizes of the hidden layers, one or more.
        readout: as for `SpikingNetwork`; "mean" by default, so that every step reaches the loss by a short way.
        neuron: name of the hidden neurons; "lif" for a network without recurrence.
        encoder, neuron_options, beta, threshold, reset_mechanism, surrogate, trainable_beta, trainable_threshold,
            per_neuron, recompute, recompute_steps, seed: as for `SpikingNetwork`.
        **kwargs: as for `keras.Model`.

    Call arguments:
        inputs: spikes `(batch, num_steps, units)`, any dtype; with an encoder inside, what it takes.
        mask: bool `(batch, num_steps)`, False at steps that are padding.

    Returns:
        Logits `(batch, num_classes)`, float32.

    Raises:
        InputError: for a parameter outside its range, or an input without a time axis.

    Example:
        >>> net = RecurrentSNN(20, hidden_units=(8,))
        >>> recordings = keras.ops.concatenate([keras.ops.ones((2, 6, 70)), -keras.ops.ones((2, 4, 70))], axis=1)
        >>> net(keras.ops.cast(recordings, "int8")).shape  # six steps, filled up to ten
        TensorShape([2, 20])

    References:
        Cramer et al., The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural Networks, 2022.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        hidden_units: Sequence[int] = (256,),
        encoder: Encoder | None = None,
        readout: str = "mean",
        neuron: str = "recurrent_lif",
        neuron_options: Mapping[str, Any] | None = None,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str | Surrogate = "atan",
        trainable_beta: bool = False,
        trainable_threshold: bool = False,
        per_neuron: bool = False,
        recompute: bool = False,
        recompute_steps: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_classes, **shared_arguments(locals()), **kwargs)
        self.hidden_units = check_sizes("hidden_units", hidden_units)
        if not self.hidden_units:
            raise fail("hidden_units", "one or more integers", hidden_units)
        for i, units in enumerate(self.hidden_units):
            for layer in (self._dense(units, f"hidden{i + 1}_dense"), self._neurons(f"hidden{i + 1}_lif")):
                setattr(self, layer.name, layer)

    def course(self):
        """Return the layers in order; see `SpikingNetwork.course`."""
        parts: list[Part] = []
        for i in range(len(self.hidden_units)):
            parts += [getattr(self, f"hidden{i + 1}_dense"), getattr(self, f"hidden{i + 1}_lif")]
        return [*parts, self.output_dense, self.output_lif]
