import matplotlib.image

from kerasburst.reports.transfer import save_transfer_plot
from kerasburst.studies.transfer.result import compare_arms


def result(encodings):
    return {
        "encodings": {name: vars(found) for name, found in encodings.items()},
        "data": {"source": {"name": "mnist"}, "target": {"name": "fashion_mnist"}},
        "freeze": "conv",
    }


def test_the_picture_is_drawn_with_and_without_intervals(tmp_path, monkeypatch):
    drawn = []
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda self, path, **kw: (drawn.append(self), _save(self, path, **kw)))
    arms = ([0.5, 0.6, 0.7], [0.6, 0.65, 0.7], [0.4, 0.45, 0.5])
    path = save_transfer_plot(
        result({"rate": compare_arms(*arms), "delayed_burst": compare_arms(*arms)}), tmp_path / "a.png"
    )
    assert matplotlib.image.imread(path).std() > 0.01
    accuracy, difference = drawn[0].axes
    seeds = [sorted(round(v, 6) for v in line.get_xdata()) for line in accuracy.lines if len(line.get_xdata()) == 3]
    assert seeds[:3] == [[50.0, 60.0, 70.0], [60.0, 65.0, 70.0], [40.0, 45.0, 50.0]] and len(seeds) == 6
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["rate", "delayed_burst"]
    assert len(difference.containers) == 4
    save_transfer_plot(result({"rate": compare_arms([0.5], [0.6], [0.4])}), tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 1000


def _save(figure, path, **options):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_figure(path, **options)
