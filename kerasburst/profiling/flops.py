"""How much arithmetic, and how many bytes, a work cannot do without; counted from its equations.

A multiplication and an addition are two operations. Only matrix work is counted: the neurons, pooling and the
optimiser are below a hundredth of it. A layer's backward pass costs as much as its forward pass twice over, once
for its weights and once for its input; the first layer's input is the data, which needs no gradient.
"""

from __future__ import annotations

from kerasburst.validation import check_int

_FLOAT32_BYTES = 4


def conv_net_flop(
    batch_size: int,
    num_steps: int,
    *,
    training: bool,
    image: tuple[int, int, int] = (28, 28, 1),
    filters: tuple[int, int] = (32, 64),
    kernel_size: int = 3,
    hidden_units: int = 1000,
    num_classes: int = 10,
) -> int:
    """Give the floating-point operations of one `SNNConvNet` step on a batch.

    Example:
        >>> conv_net_flop(1, 1, training=False, image=(4, 4, 1), filters=(1, 1), hidden_units=2, num_classes=3)
        376

    which is 2 (9 x 16 + 9 x 4 + 1 x 2 + 2 x 3).
    """
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    height, width, channels = image
    window = kernel_size**2
    layers = [2 * height * width * window * channels * filters[0]]
    height, width = height // 2, width // 2
    layers.append(2 * height * width * window * filters[0] * filters[1])
    height, width = height // 2, width // 2
    layers.append(2 * height * width * filters[1] * hidden_units)
    layers.append(2 * hidden_units * num_classes)
    return batch_size * num_steps * _passes(layers, training)


def fc_net_flop(
    batch_size: int,
    num_steps: int,
    *,
    training: bool,
    features: int = 30,
    hidden_units: int = 1000,
    num_classes: int = 2,
) -> int:
    """Give the floating-point operations of one `SNNFCNet` step on a batch.

    Example:
        >>> fc_net_flop(1, 1, training=True, features=3, hidden_units=5, num_classes=2)  # 2 (2 x 15) + 3 (2 x 10)
        120
    """
    check_int("batch_size", batch_size, low=1)
    check_int("num_steps", num_steps, low=1)
    layers = [2 * features * hidden_units, 2 * hidden_units * num_classes]
    return batch_size * num_steps * _passes(layers, training)


def _passes(layers: list[int], training: bool) -> int:
    return 3 * sum(layers) - layers[0] if training else sum(layers)


def lif_bytes(neurons: int, num_steps: int) -> int:
    """Give the bytes that LIF neurons must move, forward and backward, without storing the membrane.

    Forward reads the current and writes the spikes; backward reads the current again and the gradient with respect
    to the spikes, and writes the gradient with respect to the current: five float32 arrays.

    Example:
        >>> lif_bytes(neurons=10, num_steps=3)
        600
    """
    return 5 * neurons * num_steps * _FLOAT32_BYTES


def encoder_bytes(values: int, num_steps: int) -> int:
    """Give the bytes that an encoder must move: it reads float32 intensities and writes float32 spikes.

    Example:
        >>> encoder_bytes(values=10, num_steps=3)
        160
    """
    return values * (1 + num_steps) * _FLOAT32_BYTES
