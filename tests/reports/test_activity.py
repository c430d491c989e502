import numpy as np
import pytest

import kerasburst as kb
from kerasburst import InputError, draw_activity

SPK = np.float32([[[0, 1], [1, 0], [0, 1]], [[1, 1], [0, 0], [0, 0]]])
MEM = np.float32([[[0.5, 1.5], [1.2, 0.4], [0.3, 1.1]], [[2.0, 2.0], [0.1, 0.1], [0.0, 0.0]]])


def test_draws_what_was_recorded(tmp_path):
    figure = draw_activity({"a": {"spk": SPK, "mem": MEM}, "$\\frac$": {"spk": SPK}}, tmp_path / "a.png", title="mine")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    rasters, traces = figure.axes[::2], figure.axes[1::2]
    for axes in rasters:
        assert [events.get_positions() for events in axes.collections] == [[1], [0, 2]]
    lines, dots = traces[0].lines[::2], traces[0].lines[1::2]
    np.testing.assert_array_equal([line.get_ydata() for line in lines], MEM[0].T)
    assert [list(line.get_xdata()) for line in dots] == [[1], [0, 2]]
    assert not traces[1].lines and figure.get_suptitle() == "mine"


def test_chooses_example_and_neurons():
    spk = np.zeros((2, 3, 4, 5, 5), "float32")
    spk[1, 2] = 1
    figure = draw_activity({"lif": {"spk": spk, "mem": 2 * spk}}, example=1, neurons=7)
    assert [list(events.get_positions()) for events in figure.axes[0].collections] == [[2]] * 7
    assert len(figure.axes[1].lines) == 10
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["0", "16", "33", "50", "66"]
    spk[1, 0, 3, 4, 4] = 1  # the last neuron fires once more than the others
    figure = draw_activity({"lif": {"spk": spk, "mem": 2 * spk}}, example=1, neurons=7)
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["0", "16", "33", "50", "99"]


def test_of_a_model(tmp_path):
    network = kb.SNNFCNet(3, hidden_units=4)
    figure = draw_activity(kb.record(network, np.ones((2, 5, 6), "uint8")))
    assert [axes.get_title() for axes in figure.axes][::2] == ["hidden_lif: spikes", "output_lif: spikes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activity": {}}, "activity must be what kerasburst.record returns"),
        ({"example": 2}, "example must be an integer from 0 to 1"),
        ({"neurons": 0}, "neurons must be"),
        ({"activity": {"a": [1]}}, r"activity of a must be spk and mem, each \(batch, num_steps, \*features\)"),
        ({"activity": {"a": {"mem": MEM}}}, "activity of a must be spk and mem"),
        ({"activity": {"a": {"spk": SPK[0, 0]}}}, "activity of a must be spk and mem"),
        ({"activity": {"a": {"spk": SPK, "mem": MEM[:1]}}}, "activity of a must be spk and mem"),
        (
            {"activity": {"a": {"spk": SPK}, "b": {"spk": SPK[:1]}}, "example": 1},
            "example must be an integer from 0 to 0",
        ),
        ({"out": "a.gif"}, "out must be a .png file, received"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        draw_activity(**{"activity": {"lif": {"spk": SPK, "mem": MEM}}} | arguments)
