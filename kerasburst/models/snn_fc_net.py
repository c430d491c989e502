"""The fully connected spiking network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork, shared_arguments
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import LARGEST, check_int


@keras.saving.register_keras_serializable("kerasburst")
class SNNFCNet(SpikingNetwork):
    """Fully connected spiking network for tabular data: Dense, LIF, Dense, LIF.

    Args:
        num_classes: C, at least 2.
        hidden_units: size of the hidden layer.
        encoder, readout, neuron, neuron_options, beta, threshold, reset_mechanism, surrogate, trainable_beta,
            trainable_threshold, per_neuron, recompute, recompute_steps, seed: as for `SpikingNetwork`.
        **kwargs: as for `keras.Model`.

    Call arguments:
        inputs: spikes `(batch, num_steps, *features)`, any dtype; with an encoder inside, intensities
            `(batch, *features)` in [0, 1].

    Returns:
        Logits `(batch, num_classes)`, float32.

    Raises:
        InputError: for a parameter outside its range, or an input without a time axis.

    Example:
        >>> from kerasburst.encoders.rate import RateEncoder
        >>> net = SNNFCNet(3, hidden_units=16, encoder=RateEncoder(num_steps=10))
        >>> net(keras.random.uniform((2, 4))).shape
        TensorShape([2, 3])
        >>> net.membrane_trace(keras.random.uniform((2, 4))).shape
        (2, 10, 3)

    References:
        The architecture of arXiv 2411.06613.
    """

    default_for = "tabular"
    steps_at_once = 10

    def __init__(
        self,
        num_classes: int,
        *,
        hidden_units: int = 1000,
        encoder: Encoder | None = None,
        readout: str = "last",
        neuron: str = "lif",
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
        self.hidden_units = check_int("hidden_units", hidden_units, low=1, high=LARGEST)
        self.hidden_dense = self._dense(self.hidden_units, "hidden_dense")
        self.hidden_lif = self._neurons("hidden_lif")

    def course(self):
        """Return the layers in order; see `SpikingNetwork.course`."""
        return [self.hidden_dense, self.hidden_lif, self.output_dense, self.output_lif]
