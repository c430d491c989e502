"""An audit of pretended models, its page, and the axes that were drawn for it."""

import json

import pytest

from kerasburst.privacy.audit import audit
from kerasburst.reports import audit_figures
from kerasburst.reports.audit import write_report
from tests.privacy.common import RUN_FLEET, Pretend, audit_config, write_data
from tests.reports.common import ENCODINGS, Page


@pytest.fixture(scope="session")
def audit_folder(made_once):
    return made_once("page", pretend_audit) / "audit"


def pretend_audit(folder):
    folder.mkdir()
    write_data(folder / "<i>data.npz", n=500, features=6)
    config = audit_config(
        folder / "<i>data.npz",
        encodings=ENCODINGS,
        members=110,
        population=60,
        shadows=2,
        queries=(1, 2, 4),
        num_steps=5,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN_FLEET, Pretend(leak=1.5, encoding_noise=2.0))
        audit(config, folder / "audit")


@pytest.fixture(scope="session")
def found(audit_folder):
    return json.loads((audit_folder / "audit.json").read_text())


@pytest.fixture(scope="session")
def drawn(audit_folder):
    """Write the page, and keep the axes of each panel by its name."""
    axes, svg = {}, audit_figures._svg

    def keep(figure, name):
        axes[name] = figure.axes[0]
        return svg(figure, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit_figures, "_svg", keep)
        write_report(audit_folder)
    return axes


@pytest.fixture(scope="session")
def html(audit_folder, drawn):
    return (audit_folder / "audit.html").read_text()


@pytest.fixture(scope="session")
def page(html):
    return Page(html)
