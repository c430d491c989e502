"""Names of data and files in pictures and pages: each is shown as it is, and none breaks what shows it."""

import json
import os

import matplotlib.image
import pytest
from matplotlib.figure import Figure

from kerasburst.pictures import save_picture
from kerasburst.reports.collection import write_collection
from kerasburst.reports.encoding import draw_encoding
from kerasburst.reports.profile import write_report
from kerasburst.reports.sweep import save_sweep_figures
from kerasburst.reports.transfer import save_transfer_plot
from kerasburst.studies.transfer.result import compare_arms
from kerasburst.training.result import save_curves
from tests.reports import test_profile, test_sweep

NAMES = {
    r"$\frac$ $_$": r"$\frac$ $_$",
    "a\x1b[31mred\x07": r"a\x1b[31mred\x07",
    "two\nlines\ttab": r"two\nlines\ttab",
    "turned\u202etxt": r"turned\u202etxt",
    "bytes\udcff": r"bytes\xff",
    "letters 数字 🙂": "letters 数字 🙂",
}


@pytest.fixture
def drawn(monkeypatch):
    """The texts of each picture that is saved."""
    texts, save = [], Figure.savefig

    def note(self, *args, **options):
        from matplotlib.text import Text

        texts.extend(text.get_text() for text in self.findobj(Text))
        return save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return texts


def sweep_of(name):
    values = [("a", 0.5), (name, 0.6)]
    points = [test_sweep.point({"model.x": value}, accuracy) for value, accuracy in values]
    found = test_sweep.sweep(points, {"label": "model.x", "values": ["a", name]})
    return found | {"data": {"name": name}, "seeds": [0, 1, 2]}


def transfer_of(name):
    arms = compare_arms([0.5, 0.6], [0.6, 0.7], [0.4, 0.5])
    data = {"source": {"name": name}, "target": {"name": "digits"}}
    return {"encodings": {"rate": vars(arms)}, "data": data, "freeze": "conv"}


def profile_of(name, folder):
    test_profile.write(folder, ["rate"])
    value = json.loads((folder / "profile.json").read_text())
    (folder / "profile.json").write_text(json.dumps(value | {"data": {"name": name}}))
    write_report(folder)


HISTORY = [{"epoch": 1, "loss": 1.0, "accuracy": 0.5}]
PICTURES = {
    "curves": lambda name, folder: save_curves(HISTORY, folder / "a.png", f"{name}, rate", 0.5),
    "transfer": lambda name, folder: save_transfer_plot(transfer_of(name), folder / "a.png"),
    "sweep": lambda name, folder: save_sweep_figures(sweep_of(name), folder),
    "profile": lambda name, folder: profile_of(name, folder),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_drawn_as_they_are(name, picture, tmp_path, drawn):
    PICTURES[picture](name, tmp_path)
    assert any(NAMES[name] in text for text in drawn)
    assert matplotlib.image.imread(next(tmp_path.glob("*.png"))).std() > 0.001


def test_a_title_of_an_encoding(tmp_path, drawn):
    from kerasburst import RateEncoder

    draw_encoding(RateEncoder(2, seed=0), [0.2, 0.8], tmp_path / "out", draws=2, title="a\n$\\frac$")
    assert r"a\n$\frac$" in drawn


def test_a_long_line_is_cut_short(tmp_path, drawn):
    figure = Figure()
    figure.suptitle("a" * 101 + "\n" + "b" * 100)
    save_picture(figure, tmp_path / "a.png")
    assert "a" * 99 + "…\n" + "b" * 100 in drawn


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_on_the_page_of_many_results(name, tmp_path):
    folder = tmp_path / "results" / f"{name}<i>"
    folder.mkdir(parents=True)
    (folder / "transfer.json").write_text(json.dumps(transfer_of(f"{name}<i>") | {"budget": {}, "seeds": [0, 1]}))
    page, counts, problems = write_collection([tmp_path / "results"], tmp_path / "page.html")
    text = page.read_text()
    assert counts["transfer"] == 1 and not problems
    assert f"{NAMES[name]}&lt;i&gt; to digits" in text and "<i>" not in text
    assert not set(text) & set("\x1b\x07\u202e\udcff")
    assert os.fsencode(name).hex() in _links(text)


def _links(text):
    import re
    import urllib.parse

    return "".join(urllib.parse.unquote_to_bytes(link).hex() for link in re.findall(r'href="([^"#]*)"', text))
