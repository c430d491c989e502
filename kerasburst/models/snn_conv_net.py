"""The convolutional spiking network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerasburst.encoders.base import Encoder
from kerasburst.models.base import SpikingNetwork, shared_arguments
from kerasburst.models.forward import Pool
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import LARGEST, check_choice, check_int, fail

CONV_ACTIVATIONS = ("relu", "lif")


@keras.saving.register_keras_serializable("kerasburst")
class SNNConvNet(SpikingNetwork):
    """Convolutional spiking network for images.

    Conv 3x3 same, ReLU, max-pool 2, Conv 3x3 same, ReLU, max-pool 2, flatten, Dense, LIF, Dense, LIF.
    The synaptic layers see all steps at once, as one batch; only the membranes run over time.

    Args:
        num_classes: C, at least 2.
        filters: channels of the two convolutions.
        kernel_size: side of their kernels, pixels.
        hidden_units: size of the hidden layer.
        conv_activation: "relu", or "lif" to put neurons in place of both ReLUs.
        encoder, readout, neuron, neuron_options, beta, threshold, reset_mechanism, surrogate, trainable_beta,
            trainable_threshold, per_neuron, recompute, recompute_steps, seed: as for `SpikingNetwork`.
        **kwargs: as for `keras.Model`.

    Call arguments:
        inputs: spikes `(batch, num_steps, height, width, channels)`, any dtype, at least 4x4 pixels; with
            an encoder inside, intensities `(batch, height, width, channels)` in [0, 1].

    Returns:
        Logits `(batch, num_classes)`, float32.

    Raises:
        InputError: for a parameter outside its range, or an input that is not a sequence of images.

    Example:
        >>> net = SNNConvNet(10, filters=(4, 8), hidden_units=16)
        >>> spikes = keras.ops.zeros((2, 5, 8, 8, 1), "uint8")
        >>> net(spikes).shape, net.membrane_trace(spikes).shape
        (TensorShape([2, 10]), (2, 5, 10))

    References:
        The architecture of arXiv 2411.06613.
    """

    default_for = "image"

    def __init__(
        self,
        num_classes: int,
        *,
        filters: tuple[int, int] = (32, 64),
        kernel_size: int = 3,
        hidden_units: int = 1000,
        conv_activation: str = "relu",
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
        if not isinstance(filters, (list, tuple)) or len(filters) != 2:
            raise fail("filters", "a pair of integers", filters)
        self.filters = tuple(check_int("filters", n, low=1, high=LARGEST) for n in filters)
        self.kernel_size = check_int("kernel_size", kernel_size, low=1, high=LARGEST)
        self.hidden_units = check_int("hidden_units", hidden_units, low=1, high=LARGEST)
        self.conv_activation = check_choice("conv_activation", conv_activation, CONV_ACTIVATIONS)
        self.conv1, self.conv2 = (
            self._conv(n, self.kernel_size, name) for n, name in zip(self.filters, ("conv1", "conv2"), strict=True)
        )
        fires = conv_activation == "lif"
        self.conv1_lif, self.conv2_lif = (self._neurons(f"conv{n}_lif") if fires else None for n in (1, 2))
        self.hidden_dense = self._dense(self.hidden_units, "hidden_dense")
        self.hidden_lif = self._neurons("hidden_lif")

    def build_synapses(self, input_shape):
        """Build the layers for spikes of shape `(batch, num_steps, height, width, channels)`."""
        if len(input_shape) != 5 or min(input_shape[2:4]) < 4:
            raise fail("inputs", "spikes (batch, num_steps, height, width, channels) of 4x4 or more", input_shape)
        super().build_synapses(input_shape)

    def course(self):
        """Return the layers in order; see `SpikingNetwork.course`."""
        parts = []
        for conv, lif in ((self.conv1, self.conv1_lif), (self.conv2, self.conv2_lif)):
            # The maximum before the ReLU: the same values, from a quarter of the ReLUs.
            parts += [conv, Pool(relu=True)] if lif is None else [conv, lif, Pool()]
        return [*parts, self.hidden_dense, self.hidden_lif, self.output_dense, self.output_lif]
