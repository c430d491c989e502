import keras
import numpy as np
import pytest
from keras import ops

from kerasburst.models.forward import CONNECT, Residual, build_course, leaves, walk
from kerasburst.neurons.lif import LIF
from kerasburst.neurons.scan import scan
from kerasburst.validation import InputError


@pytest.mark.parametrize(
    ("connect", "want"), [("ADD", [0, 1, 1, 2]), ("AND", [0, 0, 0, 1]), ("IAND", [0, 1, 0, 0])], ids=list(CONNECT)
)
def test_branches_are_joined_element_by_element(connect, want):
    """The body fires where its input, weighted with 2, is above 1; inputs 0 and 1 on four features."""
    shortcut, body = [0, 1, 0, 1], [0, 0, 1, 1]
    x = np.float32([[[*shortcut, *body]]])  # one step
    dense = [keras.layers.Dense(4, use_bias=False), keras.layers.Dense(4, use_bias=False)]
    parts = [(dense[0], LIF(name="body")), (dense[1], LIF(name="shortcut"))]
    course = [Residual(*parts, connect)]
    assert build_course(course, (None, 1, 8)) == (None, 1, 4)
    dense[0].set_weights([2 * np.eye(8, 4, -4, "float32")])
    dense[1].set_weights([2 * np.eye(8, 4, 0, "float32")])
    fired = []
    out, _ = walk(course, ops.convert_to_tensor(x), lambda part, y: fired.append(part.name) or scan(part, y))
    assert ops.convert_to_numpy(out).ravel().tolist() == want
    assert fired == ["body", "shortcut"] == [part.name for part in leaves(course) if isinstance(part, LIF)]


def test_a_shortcut_without_parts_is_the_input():
    course = [Residual((LIF(),))]
    build_course(course, (None, 2, 1))
    out, _ = walk(course, ops.convert_to_tensor(np.float32([[[2.0], [0.5]]])), scan)
    assert ops.convert_to_numpy(out).ravel().tolist() == [3.0, 1.5]  # 2 + a spike; 0.95 * 2 - 1 + 0.5 = 1.4 fires, too


def test_branches_of_different_shapes_are_refused():
    with pytest.raises(InputError, match=r"must end in one shape, received \(None, 2, 3\) and \(None, 2, 4\)"):
        build_course([Residual((keras.layers.Dense(3),))], (None, 2, 4))
