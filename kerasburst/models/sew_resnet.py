"""The spiking residual network with spike-element-wise shortcuts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kerasburst.encoders.base import Encoder
from kerasburst.models.base import shared_arguments
from kerasburst.models.forward import CONNECT, Part, Residual
from kerasburst.models.units import NORMALIZATIONS, UnitNetwork
from kerasburst.neurons.surrogate import Surrogate
from kerasburst.validation import LARGEST, check_choice, check_int, fail

_STAGES = {  # blocks in each stage, by depth
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_BOTTLENECK = 50  # depths from here on have blocks of three convolutions, the last four times as wide
STEMS = ("cifar", "imagenet")


@keras.saving.register_keras_serializable("kerasburst")
class SEWResNet(UnitNetwork):
    """Spiking residual network (SEW ResNet) for images: blocks around which their input spikes take a shortcut.

        block(S) = g(A, S),   A = the block's own spikes,   S = its input spikes
        g: ADD: A + S      AND: A S      IAND: (1 - A) S

    The stem is a convolution, its normalisation and neurons. Then come stages of blocks: each stage but the first
    halves the image in its first block and doubles the channels; there the shortcut is a 1x1 convolution of stride 2
    with a normalisation and neurons of its own. The mean over the image, a Dense and LIF end the network.

    After ADD come whole numbers, which are sums of spikes: an operation count counts their layers as multiplying.

    Args:
        num_classes: C, at least 2.
        depth: layers with weights on the way: 10, 18, 34 (two convolutions a block), 50, 101 or 152 (three) for four
            stages; or 6 n + 2 from 8 to 1202, such as 20, 32, 44 or 56, for three stages of n blocks, as He et al. take
            for CIFAR.
        width: channels of the first stage.
        connect: g, "ADD", "AND" or "IAND".
        stem: "cifar", a 3x3 convolution; or "imagenet" for larger images, a 7x7 convolution of stride 2 and a 3x3
            max-pooling of stride 2.
        normalization: "batch" for `TimeBatchNormalization`, "tdbn" for its threshold-dependent form, or "none".
        encoder, readout, neuron, neuron_options, beta, threshold, reset_mechanism, surrogate, trainable_beta,
            trainable_threshold, per_neuron, recompute, recompute_steps, seed: as for `SpikingNetwork`; with `recompute`
            the backward pass computes each block again, with a normalisation `recompute_steps` must be None.
        **kwargs: as for `keras.Model`.

    Call arguments:
        inputs: spikes `(batch, num_steps, height, width, channels)`, any dtype; with an encoder inside, intensities
            `(batch, height, width, channels)` in [0, 1].

    Returns:
        Logits `(batch, num_classes)`, float32.

    Raises:
        InputError: for a parameter outside its range, or an input that is not a sequence of images.

    Example:
        >>> net = SEWResNet(10, depth=18, width=2)
        >>> spikes = keras.ops.zeros((2, 3, 16, 16, 1), "uint8")
        >>> net(spikes).shape, len(net.firing_rates(spikes))  # of the input, 20 convolutions' neurons and the output's
        (TensorShape([2, 10]), 22)

    References:
        Fang et al., Deep Residual Learning in Spiking Neural Networks, NeurIPS 2021; He et al., Deep Residual Learning
        for Image Recognition, 2016 (depths, widths, stems).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depth: int = 18,
        width: int = 64,
        connect: str = "ADD",
        stem: str = "cifar",
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
        self.depth = check_int("depth", depth, low=8, high=1202)  # He et al.'s deepest
        if self.depth not in _STAGES and (self.depth - 2) % 6:
            raise fail("depth", f"one of {', '.join(map(str, _STAGES))}, or 6 n + 2", depth)
        self.width = check_int("width", width, low=1, high=LARGEST)
        self.connect = check_choice("connect", connect, CONNECT)
        self.stem = check_choice("stem", stem, STEMS)
        self.normalization = check_choice("normalization", normalization, NORMALIZATIONS)
        large = stem == "imagenet"
        images: Any = {"data_format": "channels_last", "dtype": self.dtype_policy}
        self._add_unit("stem", self.width, 7 if large else 3, 2 if large else 1)
        self._course: list[tuple[list[str], list[str]]] = []  # of each block, the units of its body and its shortcut
        if large:
            self._keep(keras.layers.ZeroPadding2D(1, name="stem_pool_pad", **images))
            self._keep(keras.layers.MaxPooling2D(3, 2, name="stem_pool", **images))
        channels = self.width
        for stage, blocks in enumerate(_STAGES.get(self.depth, ((self.depth - 2) // 6,) * 3)):
            for block in range(blocks):
                strides = 2 if stage and not block else 1
                channels = self._add_block(f"stage{stage + 1}_block{block + 1}", stage, channels, strides)
        self._keep(keras.layers.GlobalAveragePooling2D(name="image_mean", **images))

    def _add_block(self, name: str, stage: int, channels: int, strides: int) -> int:
        """Create a block's units for an input of so many channels; return the output's."""
        filters = self.width * 2**stage
        units = [(filters, 3, strides), (filters, 3, 1)]
        if self.depth >= _BOTTLENECK and self.depth in _STAGES:
            units = [(filters, 1, 1), (filters, 3, strides), (4 * filters, 1, 1)]
        body = [self._add_unit(f"{name}_{i + 1}", *unit) for i, unit in enumerate(units)]
        out = units[-1][0]
        projects = strides > 1 or out != channels
        shortcut = [self._add_unit(f"{name}_shortcut", out, 1, strides)] if projects else []
        self._course.append((body, shortcut))
        return out

    def course(self):
        """Return the layers in order; see `SpikingNetwork.course`."""
        parts: list[Part] = self._unit("stem")
        if self.stem == "imagenet":
            parts += [self.stem_pool_pad, self.stem_pool]
        for branches in self._course:
            body, shortcut = (tuple(part for unit in branch for part in self._unit(unit)) for branch in branches)
            parts.append(Residual(body, shortcut, self.connect))
        return [*parts, self.image_mean, self.output_dense, self.output_lif]
