"""Recordings of different lengths come as ragged tensors, rare spikes as sparse ones: both are refused in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasburst as kb
from kerasburst.validation import InputError

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the tensors are TensorFlow's")
RAGGED = tf.ragged.constant([[[0.1, 0.2], [0.2, 0.3]], [[0.3, 0.4]]], ragged_rank=1)
SPARSE = tf.sparse.from_dense(np.eye(2, dtype="float32")[None])


def network():
    return kb.SNNFCNet(3, hidden_units=4)


ASKED = {
    "neurons": lambda x: kb.LIF()(x),
    "other neurons": lambda x: kb.RecurrentLIF()(x),
    "encoder": lambda x: kb.PoissonBurstEncoder(3)(x),
    "network": lambda x: network()(x),
    "predict": lambda x: network().predict(x, verbose=0),
    "trace": lambda x: network().membrane_trace(x),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize(
    "x, received", [(RAGGED, "a ragged tensor"), (SPARSE, "a sparse tensor")], ids=["ragged", "sparse"]
)
def test_what_is_not_dense_is_refused(ask, x, received):
    with pytest.raises(InputError, match=f"must be a dense tensor.*received '{received}'"):
        ask(x)


def test_padded_as_the_error_says():
    """The spikes of each recording are those that it has alone."""
    lif = kb.LIF(threshold=0.25)
    spk = lif(RAGGED.to_tensor(), mask=tf.sequence_mask(RAGGED.row_lengths())).numpy()
    np.testing.assert_array_equal(spk, [[[0, 0], [1, 1]], [[1, 1], [0, 0]]])
