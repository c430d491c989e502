"""The recipes of docs/extending.md, run as a user's own modules and used through the public faces."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import kerasburst as kb
from kerasburst import registry

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"^## (.+)\n(?:(?!^## )(?:.|\n))*?^```python\n((?:.|\n)*?)^```", (ROOT / "docs/extending.md").read_text(), re.M
)
NAMES = {
    "encoder": "first_steps",
    "attack": "margin",
    "defence": "slow_learning",
    "reader": "csv",
    "network": "OneLayer",
    "format": "weights",
    "neuron": "resonator",
}


@pytest.fixture(scope="module", autouse=True)
def recipes(tmp_path_factory):
    """Import each recipe as a module, as a user who has saved it would."""
    folder = tmp_path_factory.mktemp("recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("KERASBURST_PLUGINS", "")
        for number, (_, code) in enumerate(BLOCKS):
            (folder / f"recipe_{number}.py").write_text(code)
            __import__(f"recipe_{number}")
        yield
        for number in range(len(BLOCKS)):
            sys.modules.pop(f"recipe_{number}")
        for kind, name in NAMES.items():
            del registry._REGISTRIES[kind]._entries[name]


def small(**options):
    return kb.TrainConfig(**{"dataset": "iris", "epochs": 1, "num_steps": 4, "network": {"hidden_units": 4}} | options)


def test_every_kind_has_a_recipe():
    assert [title for title, _ in BLOCKS] == [
        "An encoder",
        "An attack",
        "A defence",
        "A data reader",
        "A network",
        "A neuron",
        "An export format",
    ]


def test_an_encoder_trains_with_its_parameters_and_loads_again(tmp_path):
    kb.train(small(encoding="first_steps", encoder={"share": 0.5}), tmp_path / "run")
    encoder = kb.load_network(tmp_path / "run").encoder
    assert encoder.share == 0.5
    assert encoder(np.array([[1.0, 0.5]])).numpy()[0].T.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    with pytest.raises(kb.InputError, match="share must be above 0"):
        small(encoding="first_steps", encoder={"share": 0.0}).make_encoder()


@pytest.mark.thorough  # in processes of its own
def test_an_attack_stands_in_the_audit(tmp_path):
    config = kb.AuditConfig(train=small(), encodings=("rate",), shadows=2, queries=(1,))
    found = kb.audit(config, tmp_path / "audit").encodings["rate"].attacks
    (margin,) = [attack for attack in found if attack.name == "margin"]
    assert 0 <= margin.auc <= 1 and margin.threshold_advantage is not None


def test_a_defence_is_an_arm_with_its_parameters():
    arm = kb.parse_arm("slow_learning:factor=0.5,encoding=latency")
    assert (arm.encoding, arm.defence) == ("latency", "slow_learning")
    assert float(arm.make_defence().optimizer(0.02).learning_rate) == pytest.approx(0.01)
    with pytest.raises(kb.InputError, match="rate is unknown, it has factor"):
        kb.parse_arm("slow_learning:rate=0.5")


def test_a_reader_reads_its_files(tmp_path):
    rows = np.column_stack([np.random.default_rng(0).random((40, 3)), np.arange(40) % 2])
    np.savetxt(tmp_path / "mine.csv", rows, delimiter=",")
    data = kb.load_dataset(tmp_path / "mine.csv")
    assert data.num_classes == 2 and data.sample_shape == (3,)
    (tmp_path / "bad.csv").write_text("a,b\n")
    with pytest.raises(kb.InputError, match="bad.csv must be a .csv file of numbers"):
        kb.load_dataset(tmp_path / "bad.csv")


@pytest.mark.thorough
def test_a_network_trains_and_exports(tmp_path):
    kb.train(small(model="OneLayer", network={}), tmp_path / "run")
    manifest = kb.export.export_run(tmp_path / "run", tmp_path / "served")
    assert manifest["model"] == "OneLayer"


def test_a_neuron_is_a_layer_and_a_cell_with_derived_gradients(tmp_path):
    import keras
    import tensorflow as tf

    from kerasburst.neurons.scan import scan

    recipe = sys.modules[f"recipe_{[title for title, _ in BLOCKS].index('A neuron')}"]
    layer = recipe.Resonator(decay=0.8, trainable_decay=True, return_mem=True)
    x = tf.constant(np.random.default_rng(0).uniform(-0.5, 1.5, (2, 40, 3)), tf.float32)
    cell = keras.layers.RNN(recipe.ResonatorCell(3, decay=0.8), return_sequences=True)
    spk, mem = layer(x)
    assert 0.1 < spk.numpy().mean() < 0.9
    np.testing.assert_array_equal(spk, cell(x))
    found = []
    for run in (layer, lambda x: (scan(layer, x)[0], scan(layer, x)[1]["mem"])):
        with tf.GradientTape() as tape:
            tape.watch(x)
            spk, mem = run(x)
            loss = tf.reduce_sum(spk * tf.cos(x)) + tf.reduce_sum(mem**2)
        found.append(tape.gradient(loss, [x, layer.trainable_weights[0].value]))
    for derived, automatic in zip(*found, strict=True):
        np.testing.assert_allclose(derived, automatic, rtol=1e-3, atol=1e-3)
    model = keras.Sequential([keras.Input((40, 3)), recipe.Resonator(decay=0.7)])
    model.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "net.keras")(x), model(x))


def test_a_format_writes(tmp_path):
    network = kb.SNNFCNet(2, hidden_units=3)
    network.build((None, 4, 5))
    kb.export.export(network, tmp_path / "out", "weights")
    with np.load(tmp_path / "out" / "weights.npz") as stored:
        assert {stored[f"w{i}"].shape for i in range(4)} == {(5, 3), (3,), (3, 2), (2,)}
