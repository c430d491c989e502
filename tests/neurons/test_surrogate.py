import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasburst import backend
from kerasburst.neurons import surrogate as surrogates
from kerasburst.neurons.surrogate import ATan, FastSigmoid, Sigmoid, StraightThrough, Surrogate, Triangular, spike
from kerasburst.validation import InputError

from .common import array, gradients, kind, tensor
from .reference import DERIVATIVES

CONFIGURED = [
    *(ATan(alpha) for alpha in (0.5, 1.0, 2.0, 7.0)),
    *(FastSigmoid(slope) for slope in (1.0, 25.0, 100.0)),
    *(Sigmoid(slope) for slope in (1.0, 4.0, 25.0)),
    Triangular(),
    StraightThrough(),
]
NAMES = {
    "atan": ATan,
    "fast_sigmoid": FastSigmoid,
    "sigmoid": Sigmoid,
    "triangular": Triangular,
    "straight_through": StraightThrough,
}
# Both sides of 0 and of +-1, at all scales, and none nearer to the kinks at -1, 0 and 1 than 2e-5.
GRID = np.concatenate([np.geomspace(2e-5, 0.99, 60), np.geomspace(1.01, 5.0, 20)])
GRID = np.concatenate([-GRID[::-1], GRID])


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in float32 unless it is told otherwise."""
    with backend.float64():
        yield


def skip_short_arctan(surrogate):
    if backend.name == "jax" and isinstance(surrogate, ATan):
        pytest.skip("Keras computes arctan in float32 on JAX")


@pytest.mark.parametrize("surrogate", CONFIGURED, ids=repr)
def test_derivative_is_the_slope_of_the_primitive(surrogate):
    skip_short_arctan(surrogate)
    h = 1e-6
    up = array(surrogate.primitive(tensor(GRID + h)))
    down = array(surrogate.primitive(tensor(GRID - h)))
    derivative = array(surrogate.derivative(tensor(GRID)))
    assert derivative.dtype == np.float64 and derivative.shape == GRID.shape
    # Rounding: eps |primitive| / h = 2.2e-16 * 5 / 1e-6; truncation: h^2 / 6 times the third derivative.
    np.testing.assert_allclose(derivative, (up - down) / (2 * h), rtol=1e-5, atol=2e-8)


@pytest.mark.parametrize("surrogate", CONFIGURED, ids=repr)
def test_primitive_rises_and_is_odd_about_its_centre(surrogate):
    skip_short_arctan(surrogate)
    p = array(surrogate.primitive(tensor(GRID)))
    centre = float(surrogate.primitive(tensor(0.0, "float64")))
    assert (np.diff(p) >= 0).all() and p[-1] > p[0]
    np.testing.assert_allclose(p - centre, -(p[::-1] - centre), atol=1e-12)


@pytest.mark.parametrize(("name", "cls"), NAMES.items())
def test_the_documented_formula(name, cls):
    v = np.concatenate([GRID, [0.0, 1.0, -1.0, 0.04, -0.3]])
    np.testing.assert_allclose(cls().derivative(tensor(v)), DERIVATIVES[name](v), rtol=1e-10, atol=1e-14)


def test_values_by_hand():
    def at(surrogate, v):
        return float(surrogate.derivative(tensor(v, "float64")))

    assert at(ATan(), 0.0) == pytest.approx(1.0)  # (2/2) / 1
    assert at(ATan(), 1 / np.pi) == pytest.approx(0.5)  # 1 / (1 + 1)
    assert at(ATan(4.0), -1 / (2 * np.pi)) == pytest.approx(1.0)  # (4/2) / (1 + 1)
    assert at(FastSigmoid(), 0.0) == pytest.approx(1.0)
    assert at(FastSigmoid(), -0.04) == pytest.approx(0.25)  # 1 / (1 + 1)^2
    assert at(FastSigmoid(10.0), 0.2) == pytest.approx(1 / 9)  # 1 / (1 + 2)^2
    assert at(Sigmoid(), 0.0) == pytest.approx(6.25)  # 25 / 4
    assert at(Sigmoid(2.0), np.log(3) / 2) == pytest.approx(0.375)  # s = 3/4: 2 * 3/4 * 1/4
    assert at(Triangular(), 0.25) == pytest.approx(0.75)
    assert at(Triangular(), -1.5) == 0.0
    assert at(StraightThrough(), -9.0) == 1.0


@pytest.mark.parametrize("surrogate", CONFIGURED, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finite_far_from_the_threshold(surrogate, dtype):
    derivative = surrogate.derivative(tensor([-1e4, -100.0, 100.0, 1e4], dtype))
    assert np.isfinite(array(derivative)).all() and kind(derivative) == dtype


@pytest.mark.parametrize("surrogate", [*CONFIGURED, *NAMES], ids=str)
def test_spike_is_the_step_with_a_tie_at_0_silent(surrogate):
    v = tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 0.5, 3.0])
    spk = spike(v, surrogates.get(surrogate))
    assert spk.dtype == v.dtype
    assert array(spk).tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(("name", "cls"), NAMES.items())
def test_backward_is_upstream_times_derivative(name, cls, graph):
    v = np.linspace(-1.5, 1.5, 13)
    upstream = np.linspace(-3.0, 2.0, 13)

    def loss(v):
        return ops.sum(spike(v, cls()) * tensor(upstream))

    if graph and backend.name != "tensorflow":
        pytest.skip("graphs are TensorFlow's")
    (got,) = gradients(tf.function(loss) if graph else loss, v)
    np.testing.assert_allclose(got, upstream * DERIVATIVES[name](v), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("name", "cls"), NAMES.items())
def test_get_by_name_gives_the_default(name, cls):
    assert type(surrogates.get(name)) is cls and surrogates.get(name) == cls()


def test_the_documented_names():
    assert set(surrogates.SURROGATES) == set(NAMES)
    assert (ATan().alpha, FastSigmoid().slope, Sigmoid().slope) == (2.0, 25.0, 25.0)


def test_get_passes_an_object_through():
    mine = FastSigmoid(3.0)
    assert surrogates.get(mine) is mine


@pytest.mark.parametrize("surrogate", CONFIGURED, ids=repr)
def test_config_round_trip(surrogate):
    config = keras.saving.serialize_keras_object(surrogate)
    assert config["registered_name"] == f"kerasburst>{type(surrogate).__name__}"
    for copy in (keras.saving.deserialize_keras_object(config), surrogates.get(config)):
        assert copy is not surrogate and copy == surrogate
        np.testing.assert_array_equal(array(copy.derivative(tensor(GRID))), array(surrogate.derivative(tensor(GRID))))


def test_equality_and_hash():
    assert ATan(2.0) == ATan() and hash(ATan(2.0)) == hash(ATan())
    assert ATan(2.0) != ATan(3.0)
    assert FastSigmoid(25.0) != Sigmoid(25.0)
    assert Triangular() != StraightThrough()
    assert ATan() != "atan"
    assert len({ATan(), ATan(2), ATan(3), Sigmoid(3), Triangular(), Triangular()}) == 4
    assert repr(FastSigmoid(3)) == "FastSigmoid(slope=3.0)"


def test_a_surrogate_of_ones_own():
    class Half(Surrogate):
        def primitive(self, v):
            return v / 2

        def derivative(self, v):
            return ops.full_like(v, 0.5)

    v = tensor([-1.0, 2.0])
    assert array(spike(v, surrogates.get(Half()))).tolist() == [0, 1]
    assert gradients(lambda v: ops.sum(spike(v, surrogates.get(Half()))), v)[0].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("bad", "hint"), [("arctan", "did you mean atan?"), ("fast_sigmod", "did you mean fast_sigmoid?")]
)
def test_unknown_name_suggests(bad, hint):
    with pytest.raises(InputError) as error:
        surrogates.get(bad)
    message = str(error.value)
    assert message.startswith("surrogate must be") and f"'{bad}'" in message and message.endswith(hint)
    assert all(name in message for name in NAMES)


@pytest.mark.parametrize(
    "bad", ["", "zzz", None, 3, ATan, keras.saving.serialize_keras_object(keras.initializers.Zeros())]
)
def test_not_a_surrogate(bad):
    with pytest.raises(InputError, match="^surrogate must be a Surrogate or one of atan, .*, received "):
        surrogates.get(bad)


@pytest.mark.parametrize("bad", [{}, {"class_name": "ATan"}, {"class_name": 3, "config": None}, {"module": "os"}])
def test_a_damaged_config_is_bad_input(bad):
    with pytest.raises(InputError, match="^surrogate "):
        surrogates.get(bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), "2", None, True])
@pytest.mark.parametrize(("kind", "argument"), [(ATan, "alpha"), (FastSigmoid, "slope"), (Sigmoid, "slope")])
def test_bad_parameter(kind, argument, bad):
    with pytest.raises(InputError) as error:
        kind(bad)
    assert str(error.value) == f"{argument} must be a finite number above 0, received {bad!r}"
