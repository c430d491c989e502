"""Files of networks and of composed models, read in a fresh process after `import kerasburst` alone; clones."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasburst import files
from kerasburst.encoders.rate import RateEncoder
from kerasburst.models import SNNConvNet, SNNFCNet
from kerasburst.models.saving import save_model, weights_hash
from kerasburst.neurons import LIF, LIFCell

X = np.random.default_rng(0).uniform(size=(4, 6)).astype("float32")


def composed():
    inputs = keras.Input((6,))
    x = RateEncoder(5, mode="regular")(inputs)
    x = LIF(beta=0.8, trainable_beta=True)(keras.layers.Dense(7)(x))
    x = keras.layers.RNN(LIFCell(3, threshold=0.5))(keras.layers.Dense(3)(x))
    return keras.Model(inputs, x)


def network():
    made = SNNFCNet(3, hidden_units=5, encoder=RateEncoder(5, mode="regular"), seed=1)
    made(X)
    return made


@pytest.mark.thorough
def test_load_in_a_fresh_process(tmp_path):
    models = [network(), composed()]
    for i, model in enumerate(models):
        model.save(tmp_path / f"{i}.keras")
    np.save(tmp_path / "x.npy", X)
    code = (
        "import kerasburst, keras, numpy as np\n"
        "for i in (0, 1):\n"
        "    made = keras.saving.load_model(f'{i}.keras')(np.load('x.npy'))\n"
        "    np.save(f'{i}.npy', keras.ops.convert_to_numpy(made))"
    )
    env = {name: value for name, value in os.environ.items() if name != "KERASBURST_DEFER_LAYERS"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=300, env=env)
    for i, model in enumerate(models):
        np.testing.assert_array_equal(np.load(tmp_path / f"{i}.npy"), model(X))


def test_clones():
    model = composed()
    clone = keras.models.clone_model(model)
    assert [type(layer) for layer in clone.layers] == [type(layer) for layer in model.layers]
    assert [layer.get_config() for layer in clone.layers[1:]] == [layer.get_config() for layer in model.layers[1:]]
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(X), model(X))


@pytest.mark.parametrize("make", [SNNFCNet, SNNConvNet])
def test_clones_of_networks(make):
    one = make(3, hidden_units=5, beta=0.7)
    clone = keras.models.clone_model(one)
    assert type(clone) is make and clone.get_config() == one.get_config() and clone.output_lif.beta == 0.7


def test_weights_hash_sees_values_shapes_and_types():
    one = network()
    before = weights_hash(one)
    assert before == weights_hash(one.with_encoder(None)) and len(before) == 64
    one.hidden_dense.kernel.assign(one.hidden_dense.kernel + 1)
    assert weights_hash(one) != before


def test_weights_of_bfloat16_have_a_hash():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="bfloat16", kernel_initializer="ones")])
    before = weights_hash(model)
    model.layers[0].kernel.assign(2 * model.layers[0].kernel)
    assert weights_hash(model) != before


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_kill_would_leave_of_saving_lies_in_the_folder(fails, tmp_path, monkeypatch):
    model, seen, before = network(), [], tempfile.gettempdir()

    def save(path):
        """Look where Keras puts its temporary files, and save."""
        seen.append(Path(tempfile.gettempdir()))
        keras.Model.save(model, path)
        if fails:
            raise OSError("the disk is full")

    monkeypatch.setattr(model, "save", save, raising=False)
    with pytest.raises(OSError, match="full") if fails else contextlib.nullcontext():
        save_model(model, tmp_path / "model.keras")
    assert seen[0].parent == tmp_path and files.is_leftover(seen[0])
    assert tempfile.gettempdir() == before
    assert [path.name for path in tmp_path.iterdir()] == ([] if fails else ["model.keras"])
