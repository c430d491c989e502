import pytest

from kerasburst.training.evaluation import activity_warnings


@pytest.mark.parametrize("readout, named", [("last", ["b"]), ("mean", ["b"]), ("count", ["b", "output_lif"])])
def test_a_silent_output_matters_only_where_its_spikes_are_counted(readout, named):
    found = activity_warnings({"input": 0.2, "a": 0.1, "b": 0.0, "output_lif": 0.0}, readout)
    assert [text.split()[1] for text in found] == named and all("is silent" in text for text in found)
