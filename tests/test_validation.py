"""Each check: what it lets through and as what, and the line it refuses the rest with."""

import decimal
import fractions
import math
import os
import pathlib

import numpy as np
import pytest

from kerasburst import validation
from kerasburst.validation import InputError


def refused(check, *arguments, **options):
    """Return the line with which a check refuses its arguments."""
    with pytest.raises(InputError) as caught:
        check(*arguments, **options)
    return str(caught.value)


def test_bad_input_is_a_value_error_of_one_line():
    error = validation.fail("rate", "above 0", "a\nb" * 100)
    assert isinstance(error, ValueError)
    assert str(error).startswith("rate must be above 0, received 'a\\nba") and "\n" not in str(error)
    assert len(str(error)) < 120


class TestIntegers:
    @pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.uint8(3), np.float64(3)])
    def test_whole_numbers_of_any_type_become_an_int(self, value):
        number = validation.check_int("n", value, low=3, high=3)
        assert number == 3 and type(number) is int

    @pytest.mark.parametrize("value", [True, 3.5, "3", None, [3], math.nan, math.inf, np.array([3]), np.bool_(True)])
    def test_nothing_else_does(self, value):
        assert refused(validation.check_int, "n", value).startswith("n must be an integer, received ")

    @pytest.mark.parametrize(
        ("bounds", "said"),
        [
            ({"low": 1}, "n must be an integer of at least 1, received 0"),
            ({"high": -1}, "n must be an integer of at most -1, received 0"),
            ({"low": 1, "high": 2147483647}, "n must be an integer from 1 to 2147483647, received 0"),
        ],
    )
    def test_bounds_are_said(self, bounds, said):
        assert refused(validation.check_int, "n", 0, **bounds) == said

    def test_a_number_too_long_to_write_is_refused_all_the_same(self):
        assert refused(validation.check_int, "n", 10**5000, high=5) == (
            "n must be an integer of at most 5, received a number without end"
        )

    def test_sizes(self):
        assert validation.check_sizes("units", (np.int32(4), 2)) == (4, 2)
        assert "units must be an integer from 1" in refused(validation.check_sizes, "units", [4, 0])


class TestNumbers:
    @pytest.mark.parametrize("value", [1, 1.0, np.float32(1), fractions.Fraction(2, 2), np.int8(1)])
    def test_real_numbers_become_a_float(self, value):
        number = validation.check_float("x", value, low=1.0, high=1.0)
        assert number == 1.0 and type(number) is float

    @pytest.mark.parametrize("value", [True, "1", None, 1j, math.nan, -math.inf, 10**400, decimal.Decimal(1), [1.0]])
    def test_nothing_else_does(self, value):
        assert refused(validation.check_float, "x", value).startswith("x must be a finite number, received ")

    @pytest.mark.parametrize(
        ("bounds", "inside", "outside", "said"),
        [
            ({"low": 0.0, "high": 1.0}, (0.0, 1.0), (-1e-9, 1.5), " from 0 to 1"),
            ({"low": 0.5}, (0.5,), (0.4,), " of at least 0.5"),
            ({"high": 0.5}, (0.5,), (0.6,), " of at most 0.5"),
            ({"above": 0.0}, (1e-300,), (0.0, -1.0), " above 0"),
            ({"above": 0.0, "below": 1.0}, (0.5,), (0.0, 1.0), " above 0 and below 1"),
            ({"low": 0.0, "below": 1.0}, (0.0,), (1.0,), " of at least 0 and below 1"),
        ],
    )
    def test_bounds(self, bounds, inside, outside, said):
        for value in inside:
            assert validation.check_float("x", value, **bounds) == value
        for value in outside:
            assert refused(validation.check_float, "x", value, **bounds) == (
                f"x must be a finite number{said}, received {value}"
            )

    @pytest.mark.parametrize(("value", "number"), [(1, True), (0.5, True), (True, False), ("1", False), (None, False)])
    def test_what_is_a_number(self, value, number):
        assert validation.is_number(value) is number


@pytest.mark.parametrize("value", [0, 1, "true", None, np.True_])
def test_truth_is_true_or_false_alone(value):
    assert validation.check_bool("flag", False) is False
    assert refused(validation.check_bool, "flag", value).startswith("flag must be true or false, received ")


def test_a_choice_names_the_nearest():
    assert validation.check_choice("mode", "zero", ["zero", "none"]) == "zero"
    assert refused(validation.check_choice, "mode", "zeros", ["zero", "none"]) == (
        "mode must be one of zero, none, received 'zeros'; did you mean zero?"
    )
    assert refused(validation.check_choice, "mode", None, ["zero"]) == "mode must be one of zero, received None"
    assert refused(validation.check_choice, "mode", ["zero"], ["zero"]).startswith(
        "mode must be one of zero, received ["
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äß 漢", "plain äß 漢"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\u2028", "\\u2028"),
        (os.fsdecode(b"\xff\xfe"), "\\xff\\xfe"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_printed_is_escaped_everywhere_in_a_value(text, shown):
    assert validation.visible(text) == shown
    assert validation.visible({text: [text, 1, None, (text,)]}) == {shown: [shown, 1, None, [shown]]}


def test_an_error_s_text_is_one_line_of_bounded_length():
    assert validation.one_line(ValueError("a\n  b")) == "a b"
    assert validation.one_line(KeyError()) == "KeyError"
    assert validation.one_line("x" * 200) == "x" * 157 + "..."
    assert validation.one_line("x" * 200, most=None) == "x" * 200


class TestPaths:
    def test_a_path_is_kept_as_text(self):
        assert validation.path_text("out", "a/b") == validation.path_text("out", pathlib.Path("a") / "b") == "a/b"

    @pytest.mark.parametrize("value", ["", b"a", 3, None, ["a"]])
    def test_nothing_else_is_a_path(self, value):
        assert refused(validation.path_text, "out", value).startswith("out must be a path, received ")

    def test_home_is_expanded(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert validation.user_path("out", "~/runs") == tmp_path / "runs"

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("~no-such-user/x", "no user of that name"),
            ("a\0b", "embedded null"),
            ("x" * 5000, "File name too long"),
        ],
    )
    def test_what_no_file_can_be_called_is_refused(self, name, problem):
        line = refused(validation.user_path, "out", name)
        assert line.startswith("out must be a usable path, received ") and problem in line and len(line) < 400

    def test_a_link_to_nothing_or_to_itself_is_refused(self, tmp_path):
        (tmp_path / "nothing").symlink_to(tmp_path / "gone")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        assert refused(validation.user_path, "out", tmp_path / "nothing").endswith("a link to nothing")
        assert "symbolic links" in refused(validation.user_path, "out", tmp_path / "loop")


class TestBackend:
    def test_keras_own_settings_are_read_where_no_variable_is(self, monkeypatch, tmp_path):
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        assert validation.check_backend() == "tensorflow"
        for text in ("no json", "[]", "{}"):  # Keras ignores these, too
            (tmp_path / "keras.json").write_text(text)
            assert validation.check_backend() == "tensorflow"
        (tmp_path / "keras.json").write_text('{"backend": "numpy"}')
        assert refused(validation.check_backend).startswith(
            f"backend in {tmp_path}/keras.json must be one of tensorflow, jax, torch, received 'numpy'"
        )

    def test_the_variable_comes_first_and_a_missing_package_has_its_line(self, monkeypatch):
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert refused(validation.check_backend) == (
            "KERAS_BACKEND is jax, which is not installed: pip install 'kerasburst[jax]'"
        )


def test_shapes_fit_where_a_size_is_unknown():
    assert validation.fits((None, 3), (2, None))
    assert not validation.fits((2, 3), (2, 3, 1))
    assert validation.fits(type("Unknown", (), {"rank": None})(), (2, 3))  # a shape of unknown rank


class Rate:
    """A layer's stand-in, whose base refuses what it does not know, as Keras' does."""

    def __init__(self, gain=1.0, **kwargs):
        with validation.known_keywords(self):
            if kwargs:
                raise ValueError(f"Unrecognized keyword arguments passed to Rate: {kwargs}")
            if gain < 0:
                raise ValueError("gain below 0")


def test_an_unknown_keyword_names_the_nearest_and_other_errors_stay():
    assert refused(Rate, gian=2.0) == "gian is no argument of Rate; did you mean gain?"
    assert refused(Rate, colour=2.0) == "colour is no argument of Rate"
    with pytest.raises(ValueError, match="gain below 0"):
        Rate(gain=-1.0)
