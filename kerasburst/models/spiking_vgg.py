"""The spiking VGG network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerasburst.encoders.base import Encoder
from kerasburst.models.base import shared_arguments
from kerasburst.models.forward import Part, Pool
from kerasburst.models.units import NORMALIZATIONS, UnitNetwork
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import LARGEST, check_choice, check_int, check_sizes, fail


@keras.saving.register_keras_serializable("kerasburst")
class SpikingVGG(UnitNetwork):
    """Spiking VGG network for images: blocks of 3x3 convolutions, each block with a max-pooling by 2 at its end.

    A convolution is followed by its normalisation and neurons. Then come the hidden layers, each a Dense and neurons,
    and a Dense and LIF.

    Args:
        num_classes: C, at least 2.
        filters: channels of the convolutions, in one tuple for each block. The default is VGG-11; VGG-16 is
            ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)). Images must be of 2 to the power
            of the number of blocks pixels or more, 32 for five.
        hidden_units: sizes of the hidden layers; none for ().
        normalization: "batch" for `TimeBatchNormalization`, "tdbn" for its threshold-dependent form, or "none".
        encoder, readout, neuron, neuron_options, beta, threshold, reset_mechanism, surrogate, trainable_beta,
            trainable_threshold, per_neuron, recompute, recompute_steps, seed: as for `SpikingNetwork`; with a
            normalisation `recompute_steps` must be None.
        **kwargs: as for `keras.Model`.

    Call arguments:
        inputs: spikes `(batch, num_steps, height, width, channels)`, any dtype; with an encoder inside, intensities
            `(batch, height, width, channels)` in [0, 1].

    Returns:
        Logits `(batch, num_classes)`, float32.

    Raises:
        InputError: for a parameter outside its range, or an input that is not a sequence of images that are large
            enough.

    Example:
        >>> net = SpikingVGG(10, filters=((4,), (8, 8)), hidden_units=(16,))
        >>> spikes = keras.ops.zeros((2, 3, 8, 8, 1), "uint8")
        >>> net(spikes).shape, net.block2_2_conv.kernel.shape
        (TensorShape([2, 10]), TensorShape([3, 3, 8, 8]))

    References:
        Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        filters: Sequence[Sequence[int]] = ((64,), (128,), (256, 256), (512, 512), (512, 512)),
        hidden_units: Sequence[int] = (512,),
        normalization: str = "batch",
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
        if not isinstance(filters, (list, tuple)) or not filters or not all(map(_is_filled, filters)):
            raise fail("filters", "one or more tuples of integers, such as ((64,), (128, 128))", filters)
        self.filters = tuple(tuple(check_int("filters", n, low=1, high=LARGEST) for n in block) for block in filters)
        self.hidden_units = check_sizes("hidden_units", hidden_units)
        self.normalization = check_choice("normalization", normalization, NORMALIZATIONS)
        for i, block in enumerate(self.filters):
            for j, n in enumerate(block):
                self._add_unit(f"block{i + 1}_{j + 1}", n)
        for i, units in enumerate(self.hidden_units):
            self._keep(self._dense(units, f"hidden{i + 1}_dense"))
            self._keep(self._neurons(f"hidden{i + 1}_lif"))

    def course(self):
        """Return the layers in order; see `SpikingNetwork.course`."""
        parts: list[Part] = []
        for i, block in enumerate(self.filters):
            for j in range(len(block)):
                parts += self._unit(f"block{i + 1}_{j + 1}")
            parts.append(Pool())
        for i in range(len(self.hidden_units)):
            parts += [getattr(self, f"hidden{i + 1}_dense"), getattr(self, f"hidden{i + 1}_lif")]
        return [*parts, self.output_dense, self.output_lif]


def _is_filled(block) -> bool:
    return isinstance(block, (list, tuple)) and len(block) > 0
