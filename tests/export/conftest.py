import pytest

from kerasburst.export import export

from .common import make


@pytest.fixture(scope="session")
def exported(made_once):
    """Return a function from a format to a finished export of `make("fc", readout="mean")`; to be read or copied."""

    def get(format):
        network = make("fc", readout="mean")
        labels = ["no", "maybe", "yes"]
        return made_once(f"export-{format}", lambda out: export(network, out, format, labels=labels))

    return get
