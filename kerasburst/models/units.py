"""Networks made of units: a convolution, its normalisation, and its neurons."""

from __future__ import annotations

from abc import ABC

import keras

from kerasburst.models.base import SpikingNetwork
from kerasburst.models.forward import Part
from kerasburst.models.time_batch_normalization import TimeBatchNormalization
from kerasburst.validation import fail

NORMALIZATIONS = ("batch", "tdbn", "none")


class UnitNetwork(SpikingNetwork, ABC):
    """A network for images whose convolutions come with a normalisation and neurons.

    A subclass sets `self.normalization`, one of `NORMALIZATIONS`, before it adds units. Their layers are the attributes
    `NAME_conv`, `NAME_bn` and `NAME_lif`, with `NAME_pad` before a convolution whose stride is above 1.
    """

    normalization: str

    def _keep(self, layer: keras.layers.Layer) -> None:
        """Make a layer an attribute by its own name, as saving a layer that has changed needs it."""
        setattr(self, layer.name, layer)

    def _add_unit(self, name: str, filters: int, kernel_size: int = 3, strides: int = 1) -> str:
        """Create the layers of a unit; the padding is alike on all sides, as in PyTorch. Return the name."""
        shifted = strides > 1 and kernel_size > 1  # where Keras' "same" pads the last rows and columns alone
        if shifted:
            self._keep(
                keras.layers.ZeroPadding2D(
                    kernel_size // 2, "channels_last", dtype=self.dtype_policy, name=f"{name}_pad"
                )
            )
        padding = "same" if strides == 1 else "valid"
        plain = self.normalization == "none"
        conv = {"strides": strides, "padding": padding, "use_bias": plain}
        self._keep(self._conv(filters, kernel_size, f"{name}_conv", **conv))
        if not plain:
            threshold = self._neuron["threshold"] if self.normalization == "tdbn" else None
            self._keep(TimeBatchNormalization(threshold=threshold, dtype=self.dtype_policy, name=f"{name}_bn"))
        self._keep(self._neurons(f"{name}_lif"))
        return name

    def _unit(self, name: str) -> list[Part]:
        """Return the parts of a unit."""
        parts = [getattr(self, f"{name}_{kind}", None) for kind in ("pad", "conv", "bn", "lif")]
        return [part for part in parts if part is not None]

    def build_synapses(self, input_shape):
        """Build the layers for spikes of shape `(batch, num_steps, height, width, channels)`."""
        if len(input_shape) != 5:
            raise fail("inputs", "spikes (batch, num_steps, height, width, channels)", input_shape)
        super().build_synapses(input_shape)
