"""`Scaling`: raw values to intensities in [0, 1], fitted on training data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kerasburst.data.lazy import Examples, as_examples
from kerasburst.data.sources import KINDS, to_spikes
from kerasburst.validation import ROUNDING, InputError, check_choice, check_float, check_int, fail

_KINDS = (*KINDS, "spikes")
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True)
class Scaling:
    """Map raw values to [0, 1]: `(x - low) / (high - low)`.

    Images use one fixed range, 0 to full intensity. Tables use each feature's minimum and maximum in the training
    rows; other rows are clipped to [0, 1], and a feature that was constant there becomes 0. Spikes stay as they are.

    Args:
        kind: "image", "tabular" or "spikes".
        feature_shape: Shape of one example; of spikes `(num_steps, *features)`.
        low: Raw value of intensity 0: one for images and spikes, one per feature for tables.
        high: Raw value of intensity 1, at least `low`; the same length.

    Raises:
        InputError: If the fields do not fit each other.

    Example:
        >>> scaling = Scaling.fit(np.array([[1.0, 5.0], [3.0, 5.0]]), "tabular")
        >>> scaling.apply(np.array([[2.0, 7.0], [9.0, 5.0]])).tolist()
        [[0.5, 0.0], [1.0, 0.0]]
    """

    kind: str
    feature_shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the fields and convert them to their types."""
        check_choice("kind", self.kind, _KINDS)
        shape = tuple(check_int("feature_shape", size, 1) for size in self.feature_shape)
        low = tuple(check_float("low", value) for value in self.low)
        high = tuple(check_float("high", value) for value in self.high)
        if len(shape) < 2 if self.kind == "spikes" else len(shape) != (3 if self.kind == "image" else 1):
            raise fail("feature_shape", "of 3 dimensions for images, of 1 for tables, of 2 or more for spikes", shape)
        length = shape[0] if self.kind == "tabular" else 1
        if len(low) != length or len(high) != length:
            raise fail("low and high", f"of length {length}", (len(low), len(high)))
        for least, most in zip(low, high, strict=True):
            if least > most or (self.kind != "tabular" and (least != 0 or most == 0)):
                raise fail("low and high", "ordered, and for images 0 and above 0", (least, most))
            if self.kind == "spikes" and most != 1:
                raise fail("low and high", "0 and 1 for spikes", (least, most))
        for field, value in (("feature_shape", shape), ("low", low), ("high", high)):
            object.__setattr__(self, field, value)

    @classmethod
    def fit(cls, x_train: np.ndarray, kind: str, full_scale: float | None = None) -> Scaling:
        """Fit to raw training examples.

        Args:
            x_train: Raw training examples, `(n, features)` or `(n, height, width, channels)`, n at least 1.
            kind: "image", "tabular" or "spikes".
            full_scale: Raw value of full intensity, images only; None: 255 for integers, 1 for floats.

        Returns:
            The fitted scaling.

        Raises:
            InputError: If the examples are empty, not finite, or of a wrong shape.
        """
        x_train = as_examples(x_train)
        check_choice("kind", kind, _KINDS)
        if x_train.ndim < 2 or len(x_train) == 0:
            raise fail("x_train", "at least one example with features", f"shape {x_train.shape}")
        if kind == "spikes":
            return cls(kind, x_train.shape[1:], (0.0,), (1.0,))
        if kind == "image":
            if full_scale is None:
                full_scale = 1.0 if x_train.dtype.kind == "f" else 255.0
            return cls(kind, x_train.shape[1:], (0.0,), (full_scale,))
        low, high = x_train.min(axis=0), x_train.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InputError("x_train must hold finite numbers, received NaN or infinity")
        return cls(kind, x_train.shape[1:], tuple(low.astype(float).tolist()), tuple(high.astype(float).tolist()))

    def apply(self, x: np.ndarray, argument: str = "x") -> np.ndarray:
        """Scale raw examples.

        Args:
            x: Raw examples, shape `(n, *feature_shape)`; n may be 0.
            argument: The name that an error uses.

        Returns:
            Intensities in [0, 1], float32, a new array of the same shape; spikes as uint8. Of `Examples`, `Examples`
            that are scaled when they are read.

        Raises:
            InputError: If the shape differs, a value is not finite, an image leaves 0 to full intensity, or spikes are
                other than 0 and 1.
        """
        x = as_examples(x)
        if x.shape[1:] != self.feature_shape or x.ndim != len(self.feature_shape) + 1:
            raise fail(argument, f"of shape (n, {', '.join(map(str, self.feature_shape))})", x.shape)
        if isinstance(x, Examples):
            return x if self.kind == "spikes" else x.map(lambda one: self.apply(one[None], argument)[0], np.float32)
        if self.kind == "spikes":
            return to_spikes(argument, x)
        if x.dtype.kind not in "iuf":
            raise InputError(f"{argument} must hold integers or floats, received the type {x.dtype}")
        if x.size == 0:
            return np.zeros(x.shape, np.float32)
        least, most = x.min(), x.max()
        if not (np.isfinite(least) and np.isfinite(most)):
            raise InputError(f"{argument} must hold finite numbers, received NaN or infinity")
        if self.kind == "tabular":
            return self._apply_table(x)
        slack = ROUNDING * self.high[0] if x.dtype.kind == "f" else 0.0
        if least < -slack or most > self.high[0] + slack:
            raise fail(argument, f"images with values from 0 to {self.high[0]:g}", f"{least} to {most}")
        scaled = np.divide(x, np.float32(self.high[0]), dtype=np.float32)
        return np.clip(scaled, 0.0, 1.0, out=scaled) if slack else scaled

    def _apply_table(self, x: np.ndarray) -> np.ndarray:
        low = np.array(self.low)
        span = np.array(self.high) - low
        span[span == 0] = np.inf  # a constant feature becomes 0
        scaled = np.empty(x.shape, np.float32)
        rows = max(1, _CHUNK_VALUES // x.shape[1])
        for start in range(0, len(x), rows):  # float64 for a while, a part at a time
            part = slice(start, start + rows)
            scaled[part] = np.clip((x[part] - low) / span, 0.0, 1.0)
        return scaled
