import keras
import numpy as np
import pytest
from keras import ops

import kerasburst as kb
from kerasburst.models.forward import Pool
from kerasburst.validation import InputError

from ..neurons.reference import forward
from .common import dense, draw_spikes, enliven
from .test_sew_resnet import unit

pytestmark = pytest.mark.usefixtures("eagerly")


def test_forward_pass_by_hand():
    network = kb.SpikingVGG(3, filters=((2,), (3, 3)), hidden_units=(5,), seed=0, beta=0.8)
    x = draw_spikes(3, 4, 5, 4, 1)  # of five rows the last is dropped
    network.build((None, *x.shape[1:]))
    enliven(network)
    y = unit(network, "block1_1", x.astype("float64"))[:, :, :4]
    y = y.reshape(3, 4, 2, 2, 2, 2, 2).max((3, 5))
    y = unit(network, "block2_2", unit(network, "block2_1", y)).max((2, 3))
    hidden, _ = forward(dense(y, network.hidden1_dense), 0.8)
    _, mem = forward(dense(hidden, network.output_dense), 0.8)
    assert 0 < hidden.mean() < 1
    np.testing.assert_allclose(network.membrane_trace(x), mem, rtol=1e-4, atol=1e-5)


def test_the_default_is_vgg_11():
    """Eight convolutions and three dense layers would be the original's; ours has one hidden layer."""
    course = kb.SpikingVGG(10).course()
    assert [part.filters for part in course if isinstance(part, keras.layers.Conv2D)] == [
        64,
        128,
        256,
        256,
        512,
        512,
        512,
        512,
    ]
    assert sum(isinstance(part, Pool) for part in course) == 5


def test_without_normalisation_and_hidden_layers():
    network = kb.SpikingVGG(3, filters=[[2]], hidden_units=[], normalization="none")
    network.build((None, 2, 4, 4, 1))
    assert [w.path.split("/", 1)[1] for w in network.weights if "output" not in w.path] == [
        "block1_1_conv/kernel",
        "block1_1_conv/bias",
    ]
    assert ops.shape(network(draw_spikes(2, 2, 4, 4, 1))) == (2, 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"filters": 3}, "filters must be one or more tuples of integers, such as ((64,), (128, 128)), received 3"),
        ({"filters": (64, 128)}, "filters must be one or more tuples of integers"),
        ({"filters": ((),)}, "filters must be one or more tuples of integers"),
        ({"filters": ((2, 0),)}, "filters must be an integer from 1 to 2147483647, received 0"),
        ({"hidden_units": (0,)}, "hidden_units must be an integer from 1 to 2147483647, received 0"),
    ],
    ids=str,
)
def test_bad_parameter(bad, message):
    with pytest.raises(InputError) as error:
        kb.SpikingVGG(3, **bad)
    assert str(error.value).startswith(message)


def test_images_that_are_too_small():
    with pytest.raises(InputError, match=r"inputs must be larger images, received \(3, 3, 1\)"):
        kb.SpikingVGG(3, filters=((2,), (2,))).build((None, 2, 3, 3, 1))
