"""Audits of a user's own training function: what leaks is found, what does not is not, and nothing is trained twice."""

import json
import re

import numpy as np
import pytest

from kerasburst import InputError, audit_models
from kerasburst.privacy import own_models
from tests.privacy.common import RUN_FLEET, FleetHere

pytestmark = pytest.mark.usefixtures("eagerly")

RNG = np.random.default_rng(0)
X, Y = RNG.random((400, 12)).astype("float32"), RNG.integers(0, 3, 400)


class Fleet(FleetHere):
    def work(self, task):
        own_models.train_and_ask(**task.arguments)


@pytest.fixture
def fleet(monkeypatch):
    here = Fleet()
    monkeypatch.setattr(RUN_FLEET, here)
    return here


def neighbours(x, y, width):
    """Return a classifier by weighted votes of all training examples: a narrow width learns them by heart."""

    def classify(asked):
        distances = ((asked[:, None] - x[None]) ** 2).sum(-1)
        votes = np.exp(-distances / width) @ np.eye(3)[y] + 1e-3
        return np.log(votes)

    return classify


def by_heart(x, y, seed):
    """Learn more by heart from snapshot to snapshot."""
    for width in (3.0, 0.3, 0.1):
        yield neighbours(x, y, width)


def constant(x, y, seed):
    """Ignore the examples, and differ by seed alone."""
    weights = np.random.default_rng(seed).normal(size=(12, 3))
    return lambda asked: asked @ weights


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "audit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN_FLEET, Fleet())
        return audit_models({"by heart": by_heart, "constant": constant}, (X, Y), out, shadows=4, members=100), out


def test_what_is_learnt_by_heart_is_found_and_nothing_elsewhere(audited):
    result, _ = audited
    assert [point.epoch for point in result.curves["by heart"]] == [1, 2, 3]
    aucs = [point.auc["strongest"] for point in result.curves["by heart"]]
    assert aucs == sorted(aucs) and aucs[-1] > 0.95
    for point in result.curves["constant"]:
        low, high = point.auc_interval["lira_shrunk"]
        assert low <= 0.5 <= high


def test_controls_canaries_and_comparison(audited):
    result, _ = audited
    names = {control.name for control in result.controls}
    assert names == {
        *("splits_disjoint", "blind_baseline", "permuted_membership", "weights_differ", "cross_target", "canaries")
    }
    assert result.valid, [c for c in result.controls if not c.ok]
    assert result.encodings["by heart"].canaries.learnt and not result.encodings["constant"].canaries.learnt
    assert {(m.first, m.second) for m in result.matched} == {("by heart", "constant")}


def test_models_without_a_membrane_have_no_attacks_on_one(audited):
    result, _ = audited
    names = {attack.name for attack in result.encodings["constant"].attacks}
    assert {"loss", "lira_online", "rmia", "svm", "label_only"} <= names
    assert not names & {"temporal_lira", "temporal_svm", "membranes", "dispersion"}


def test_page(audited):
    _, out = audited
    page = (out / "audit.html").read_text()
    assert "At equal test accuracy, " in page and "by heart" in page and "AUC over test accuracy" in page
    assert (
        "Does it leak?" in page
        and "<li>by heart leaks: the AUC of the strongest attack at the last of 3 snapshots is" in page
    )
    assert not re.search("(?i)encod|membrane|bypass|epochs", re.sub("(?s)<svg.*?</svg>|<style.*?</style>", "", page))


def test_what_the_controls_do_not_show_is_in_the_file_and_on_the_page(audited):
    result, out = audited
    assert result.valid
    silent, shy = result.notes  # the constant model answers at random
    assert silent.startswith("constant has not learnt: a test accuracy of ") and silent.endswith(
        "do not say how much leaks once it has learnt"
    )
    assert shy.startswith("no control shows that this audit can find a leak of constant: no model is shown to have")
    assert f"<b>Valid, but {silent}. Also, {shy}.</b>" in (out / "audit.html").read_text()
    assert json.loads((out / "audit.json").read_text())["notes"] == [silent, shy]


def test_what_is_there_is_not_trained_again(audited, fleet):
    result, out = audited
    arms = {"by heart": by_heart, "constant": constant}
    (out / "by-heart" / "signals" / "shadow-2.npz").unlink()
    again = audit_models(arms, (X, Y), out, shadows=4, members=100, resume=True)
    assert fleet.done == ["by-heart/shadow-2"] and again == result
    with pytest.raises(InputError, match="holds an? (un)?finished audit: "):
        audit_models(arms, (X, Y), out, shadows=4, members=100)
    with pytest.raises(InputError, match="dataset must be the data"):
        audit_models(arms, (X + 1, Y), out, shadows=4, members=100, resume=True)


def test_the_test_part_is_given_or_a_fifth(audited, fleet, tmp_path):
    result, _ = audited
    assert result.counts["test"] == 80 and result.counts["pool"] == 400
    own = audit_models(constant, (X, Y), tmp_path / "a", test=(X[:30] + 1, Y[:30]), shadows=4, members=60, flips=True)
    assert [bound.method for bound in own.encodings["constant"].epsilon] == ["clopper_pearson", "one_run"]
    assert "Lower bounds of epsilon" in (tmp_path / "a/audit.html").read_text()
    assert own.counts["test"] == 30 and own.encodings["constant"].test_examples == 30


def test_a_model_that_stops_before_others_answers_as_at_its_end(tmp_path, fleet):
    def stopping(x, y, seed):
        for width in (3.0, 0.3, 0.1)[: 2 + seed % 2]:
            yield neighbours(x, y, width)

    result = audit_models(stopping, (X, Y), tmp_path / "out", shadows=4, members=60)
    counts = {len(np.load(path)["epochs"]) for path in (tmp_path / "out/stopping/signals").glob("*-snapshots.npz")}
    assert counts == {2, 3} and [point.epoch for point in result.curves["stopping"]] == [1, 2, 3]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train": 3}, "train must be a function"),
        ({"train": {}}, "train must be functions by names"),
        ({"data": X}, "data must be inputs and labels"),
        ({"data": (X, Y[:5])}, "data must be inputs"),
        ({"data": (X, Y - 1)}, "labels of data must be integers from 0"),
        ({"test": (X, Y + 1)}, "labels of test must be from 0 to "),
        ({"test": (X[:, :3], Y)}, "test must be inputs of shape"),
        ({"shadows": 2}, "shadows must be at least 4"),
        ({"shadows": 5}, "shadows must be even"),
        ({"queries": ()}, "queries must be one or more"),
        ({"outputs": "odds"}, "outputs must be one of"),
        ({"members": 300}, "members must be fewer"),
        ({"train": {"": constant}}, "train must be a function, or functions by name"),
        ({"data": (X.astype(str), Y)}, "data must be inputs"),
        ({"data": (X, Y.astype(str))}, "labels of data must be integers from 0"),
        ({"data": (X, 0 * Y)}, "labels of data must be of two classes or more, received '0 alone'"),
        ({"canaries": 3}, "canaries must be even"),
        ({"shadows": 2 * 10**9}, "shadows must be an integer from 2 to 10000"),  # not drawn for hours
        ({"queries": (10**9,)}, "queries must be an integer from 1 to 10000"),
    ],
)
def test_bad_input_leaves_nothing(changes, message, tmp_path, fleet):
    values = {"train": constant, "data": (X, Y), **changes}
    with pytest.raises(InputError, match=message):
        audit_models(values.pop("train"), values.pop("data"), tmp_path / "out", **values)
    assert not (tmp_path / "out").exists()


def test_a_function_that_yields_nothing_is_refused(tmp_path, fleet):
    with pytest.raises(InputError, match="train must return or yield a classifier"):
        audit_models(lambda x, y, seed: iter_nothing(), (X, Y), tmp_path / "out", shadows=4, members=60)


def iter_nothing():
    yield from ()


@pytest.mark.thorough
def test_keras_models_of_a_closure_in_processes_of_their_own(tmp_path):
    import keras

    import kerasburst as kb

    units = 64

    def spiking(x, y, seed):
        keras.utils.set_random_seed(seed)
        table = keras.Input((12,))
        spk = kb.LIF(beta=0.9)(keras.layers.Dense(units)(kb.RateEncoder(6, seed=seed)(table)))
        _, mem = kb.LIF(return_mem=True)(keras.layers.Dense(3)(spk))
        model = keras.Model(table, keras.layers.GlobalAveragePooling1D()(mem))
        model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        for _ in range(2):
            model.fit(x, y, epochs=30, verbose=0)
            yield model

    result = audit_models(spiking, (X, Y), tmp_path / "out", shadows=4, members=80, queries=(1, 2), jobs=2)
    names = {attack.name for attack in result.encodings["spiking"].attacks}
    assert "dispersion" in names and [p.epoch for p in result.curves["spiking"]] == [1, 2]
    assert json.loads((tmp_path / "out/audit.json").read_text())["valid"] == result.valid
