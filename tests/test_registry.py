"""Names of things from outside the package: registered, declared by another package, or in a module of the user's."""

import importlib.metadata
import os
import sys

import numpy as np
import pytest

import kerasburst as kb
from kerasburst import registry
from kerasburst.config import set_parameters
from kerasburst.data.datasets import availability, known_dataset, load_source
from kerasburst.data.sources import Reader, Source
from kerasburst.encoders.rate import RateEncoder
from kerasburst.parameters import parameters
from kerasburst.registry import PLUGINS, Registry, register
from kerasburst.validation import InputError


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Forget what a test registers."""
    monkeypatch.setenv(PLUGINS, "")
    for each in registry._REGISTRIES.values():
        monkeypatch.setattr(each, "_entries", dict(each._entries))


class DimRate(RateEncoder):
    """Rate coding of intensities dimmed by a parameter that no other encoder has."""

    def __init__(self, num_steps, *, dimming=2.0, **kwargs):
        super().__init__(num_steps, **kwargs)
        self.dimming = dimming

    def encode(self, x, seed):
        return super().encode(x / self.dimming, seed)

    def probability(self, x):
        return super().probability(x / self.dimming)

    def get_config(self):
        return {**super().get_config(), "dimming": self.dimming}


class TextReader(Reader):
    """Read rows of numbers, the label last."""

    what, contents = "a .txt file", "numbers, the label last"

    def claims(self, path):
        return path.suffix == ".txt"

    def read(self, path):
        if not path.is_file():
            raise InputError(f"{path} does not exist")
        rows = np.loadtxt(path)
        return Source.from_arrays(path.stem, {"x": rows[:, :-1], "y": rows[:, -1]}, str(path))


@pytest.mark.parametrize("each", registry._REGISTRIES.values(), ids=lambda each: each.kind)
def test_every_builtin_name_imports(each):
    assert len(each) == len(list(each)) > 0
    assert not any(isinstance(each[name], str) for name in each)


def test_an_encoder_from_outside_is_configured_by_set():
    register("encoder", "dim_rate", DimRate)
    assert "dim_rate" in registry.ENCODERS and registry.ENCODERS["dim_rate"] is DimRate
    assert parameters("encoder", "dim_rate") == {"mode": "bernoulli", "gain": 1.0, "dimming": 2.0}
    config = set_parameters(kb.TrainConfig(encoding="dim_rate"), [("encoder", "dimming", 4.0)])
    assert config.resolved("image", 1).encoder == {"mode": "bernoulli", "gain": 1.0, "dimming": 4.0}
    assert config.make_encoder().spike_probability([[1.0]]).numpy().max() == 0.25
    config = set_parameters(config, [("encoder", "diming", 4.0)])
    with pytest.raises(InputError, match="diming"):
        config.resolved("image", 1)


def test_a_reader_from_outside_reads_its_paths_everywhere(tmp_path):
    path = tmp_path / "rows.txt"
    np.savetxt(path, [[0.0, 5.0, 0], [1.0, 6.0, 1], [2.0, 7.0, 1]])
    with pytest.raises(InputError, match=r"or the path of .*an \.npz file or .*, received"):
        load_source(path)
    register("reader", "text", TextReader)
    source = load_source(path)
    assert (source.name, source.kind, source.test_start) == ("rows", "tabular", None)
    assert source.x.tolist() == [[0, 5], [1, 6], [2, 7]] and source.y.tolist() == [0, 1, 1]
    assert load_source(f"{path}:0,1").name == "rows:0,1"
    assert availability(path) == (True, str(path), "") and known_dataset(str(path)) is None
    assert not availability(tmp_path / "absent.txt").available
    with pytest.raises(InputError, match="absent.txt does not exist"):
        load_source(tmp_path / "absent.txt")
    with pytest.raises(InputError, match=r"the path of .*an \.npz file or .* or a \.txt file, received 'rows.csv'"):
        load_source("rows.csv")


def test_known_data_sets_and_earlier_readers_come_first(tmp_path, monkeypatch):
    class Greedy(TextReader):
        def claims(self, path):
            return True

    monkeypatch.chdir(tmp_path)
    np.savetxt("digits", [[0.0, 5.0, 0], [1.0, 6.0, 1]])
    np.savez("mine.npz", x=np.ones((4, 3)), y=[0, 1, 0, 1])
    register("reader", "greedy", Greedy)
    assert len(load_source("digits").y) == 1797 and len(load_source("./digits").y) == 2
    assert load_source("mine.npz").x.shape == (4, 3)


def test_names_that_cannot_be_registered():
    for kind, name, message in (
        ("planet", "earth", "kind must be one of encoder"),
        ("encoder", "two words", "name must be a word of letters, digits and underscores, received 'two words'"),
        ("encoder", "3rate", "name must be a word"),
        ("encoder", "rate", "name must be new among the encoders, rate is taken"),
        ("reader", "npz", "name must be new among the readers, npz is taken"),
    ):
        with pytest.raises(InputError, match=message):
            register(kind, name, DimRate)
    assert "earth" not in registry.ENCODERS


def test_a_name_may_be_registered_again_for_the_same_thing():
    register("encoder", "dim_rate", DimRate)
    register("encoder", "dim_rate", DimRate)
    with pytest.raises(InputError, match="dim_rate is taken"):
        register("encoder", "dim_rate", TextReader)


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(InputError, match="encoder must be one of rate.*received 'poison_burst'; did you mean poisson"):
        registry.ENCODERS["poison_burst"]


def test_processes_started_later_are_told_the_module():
    register("encoder", "dim_rate", DimRate)
    register("reader", "text", TextReader)
    assert os.environ[PLUGINS] == DimRate.__module__


def test_entry_points_of_other_packages(monkeypatch):
    asked = []

    def entry_points(group):
        asked.append(group)
        point = importlib.metadata.EntryPoint
        return [point("path", "os.path:basename", group), point("split", "os.path:split", group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    shapes = Registry("shape", {"path": "os.path:join"})
    assert list(shapes) == ["path", "split"] and asked == ["kerasburst.shape"]
    assert shapes["split"] is os.path.split
    assert shapes["path"] is os.path.join  # the package's own entry stays


def test_plugins_are_imported_when_names_are_looked_up(tmp_path, monkeypatch):
    (tmp_path / "outside.py").write_text(
        "import kerasburst as kb\n"
        "from kerasburst.encoders.rate import RateEncoder\n"
        "class Outside(RateEncoder):\n    pass\n"
        "kb.register('encoder', 'outside', Outside)\n"
    )
    monkeypatch.chdir(tmp_path)  # which is searched last
    monkeypatch.setattr(sys, "path", list(sys.path))

    def names(plugins):
        monkeypatch.setenv(PLUGINS, plugins)
        monkeypatch.setattr(registry.ENCODERS, "_discovered", False)
        return list(registry.ENCODERS)

    assert "outside" not in registry.ENCODERS and "outside" in names("outside")
    message = "KERASBURST_PLUGINS must name modules that can be imported, no_such_module: No module named"
    with pytest.raises(InputError, match=message):
        names("no_such_module")
    assert sys.path[-1] == str(tmp_path)
    with pytest.raises(InputError, match=r"received 'half'; KERASBURST_PLUGINS=MODULE adds those of your own module$"):
        registry.ENCODERS["half"]
    with pytest.raises(InputError, match=r"; did you mean rate\? KERASBURST_PLUGINS=MODULE adds"):
        registry.ENCODERS["rat"]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: kb.PoissonBurstEncoder(8, mean_burst_sise=3), r"Encoder; did you mean mean_burst_size\?"),
        (lambda: kb.LIF(resetmechanism="zero"), r"of LIF; did you mean reset_mechanism\?"),
        (lambda: kb.LIFCell(3, betta=0.5), r"betta is no argument of LIFCell; did you mean beta\?"),
        (lambda: kb.SNNFCNet(2, hiden_units=3), r"of SNNFCNet; did you mean hidden_units\?"),
        (lambda: kb.RateEncoder(3, colour="red"), "colour is no argument of RateEncoder$"),
    ],
)
def test_unknown_arguments_of_layers_are_refused_with_a_suggestion(make, message):
    with pytest.raises(InputError, match=message):
        make()
