"""The counts by hand, from the networks' sizes."""

import pytest

from kerasburst.profiling import works
from kerasburst.profiling.works import WORKS
from kerasburst.validation import InputError

# Conv 32 on 28 x 28, Conv 64 on 14 x 14, Dense 1000 on 7 x 7 x 64, Dense 10: two operations a weight and position.
CONV1, CONV2, HIDDEN, OUTPUT = 451_584, 7_225_344, 6_272_000, 20_000


def test_conv_net():
    forward = CONV1 + CONV2 + HIDDEN + OUTPUT
    assert works.conv_net_flop(1, 1, training=False) == forward
    assert works.conv_net_flop(1, 1, training=True) == 3 * forward - CONV1
    assert works.conv_net_flop(128, 10, training=True) == 1280 * (3 * forward - CONV1)
    assert works.conv_net_flop(1, 10, training=True) / 1e9 == pytest.approx(0.4146, abs=1e-4)


def test_odd_sides_are_pooled_downwards():
    odd = works.conv_net_flop(1, 1, training=False, image=(5, 7, 2), filters=(3, 4), hidden_units=6, num_classes=2)
    # 5 x 7 with 2 to 3 channels; 2 x 3 with 3 to 4; 1 x 1 x 4 to 6; 6 to 2
    assert odd == 2 * (35 * 9 * 6 + 6 * 9 * 12 + 4 * 6 + 6 * 2)


def test_fc_net():
    assert works.fc_net_flop(128, 10, training=False) == 1280 * 2 * (30_000 + 2_000)
    assert works.fc_net_flop(128, 10, training=True) == 1280 * 2 * (2 * 30_000 + 3 * 2_000)


@pytest.mark.parametrize("size", [(0, 1), (1, 0)])
def test_sizes_below_one(size):
    with pytest.raises(InputError):
        works.conv_net_flop(*size, training=True)


def test_bytes():
    assert works.lif_bytes(neurons=128 * 28 * 28 * 32, num_steps=10) == 642_252_800
    assert works.encoder_bytes(values=256 * 32 * 32 * 3, num_steps=32) == 33 * 786_432 * 4


def test_works_count_their_own_sizes():
    assert WORKS["conv_train"].amount(2, 3) == works.conv_net_flop(2, 3, training=True)
    assert WORKS["conv_infer"].amount(2, 3) == works.conv_net_flop(2, 3, training=False)
    assert WORKS["lif"].amount(2, 3) == 5 * 2 * 28 * 28 * 32 * 3 * 4
    assert WORKS["encode_rate"].amount(2, 3) == 2 * 32 * 32 * 3 * 4 * 4
    assert all((info.limit is None) == (info.amount is None) for info in WORKS.values())
