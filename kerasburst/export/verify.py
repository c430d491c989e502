"""Compare what was written with the model, before it is called written."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasburst.export.network import Network, draw_spikes
from kerasburst.validation import InputError

TOLERANCE = 1e-4  # of an output, relative where it is above 1
_TOLERANCE_16_BIT = 5e-2
_SCALES = (1.0, 8.0, -8.0)  # of spikes: neurons that are silent at the first may fire at the others
_EACH = 3  # examples of a scale
_STEPS = 5  # where any number of steps fits


class Verifier:
    """The model's own answers to a few inputs, and the comparison of an export's with them.

    Inputs are random spikes, as they are and scaled by 8 and -8, in batches of 1 and 9. Other runtimes add up in
    another order, and where a membrane lies within that rounding of its threshold a spike moves. So each example's
    largest difference counts, and the median of these over the examples of a scale must be within the tolerance.

    Args:
        network: the model, taken apart.
        format: what errors call the export.

    Raises:
        InputError: where the logits do not depend on the encoder's spikes alone.
    """

    def __init__(self, network: Network, format: str):
        self.network, self.format = network, format
        rng = np.random.default_rng(0)
        shape = (_EACH * len(_SCALES), network.num_steps or _STEPS, *network.spike_features)
        spikes = rng.integers(0, 2, shape) * np.repeat(_SCALES, _EACH).reshape(-1, *[1] * (len(shape) - 1))
        self.spikes = spikes.astype("float32")
        self.own = network.own_of_spikes(tf.constant(self.spikes)).numpy()
        if network.encoder is not None:
            other = network.own_of_spikes(tf.constant(self.spikes), filler=0.5).numpy()
            if self._apart(other, self.own):
                raise InputError(
                    f"model must see its inputs through {network.encoder.name} alone, received one with a way around it"
                )

    def logits(self, what: str, logits_of) -> None:
        """Compare logits of spikes, `logits_of((n, T, *features)) -> (n, C)`.

        Raises:
            InputError: where they differ, with what to do.
        """
        alone = [np.asarray(logits_of(self.spikes[i : i + 1])) for i in range(_EACH)]
        self.compare(f"{what} (a batch of 1)", np.concatenate(alone), self.own[:_EACH])
        self.compare(f"{what} (a batch of {len(self.spikes)})", logits_of(self.spikes), self.own)

    def seeded(self, ask) -> None:
        """Compare answers to images, `ask(images, seed, queries)`, with the mean over the model's own.

        Raises:
            InputError: where they differ, with what to do.
        """
        encoder = self.network.encoder
        if self.network.prepares:
            return  # what range of raw values fits is not known
        images = np.random.default_rng(1).uniform(size=(len(self.spikes), *self.network.features)).astype("float32")
        images = np.round(images) if encoder.encoded else images
        seed = tf.constant(7, tf.int64)
        own = [self.network.own(images, lambda x, k=k: draw_spikes(encoder, x, seed, tf.constant(k))) for k in (0, 1)]
        self.compare("mean logits of 2 encodings", ask(images, 7, 2)["logits"], np.mean(own, axis=0))

    def compare(self, what: str, got, own) -> None:
        """Compare one output, `(n, ...)`.

        Raises:
            InputError: where it differs, with what to do.
        """
        got, own = np.asarray(got), np.asarray(own)
        if got.shape != own.shape:
            raise self._refusal(f"its {what} are of shape {got.shape}, the model's of {own.shape}")
        if apart := self._apart(got, own):
            raise self._refusal(
                f"its {what} are {apart:.3g} from the model's, more than rounding ({self._tolerance:g})"
            )

    @property
    def _tolerance(self) -> float:
        return TOLERANCE if self.network.compute_dtypes() <= {"float32", "float64"} else _TOLERANCE_16_BIT

    def _apart(self, got: np.ndarray, own: np.ndarray) -> float:
        """Return the largest of the scales' medians over examples of the largest difference; 0 if it is rounding."""
        size = np.maximum(1.0, np.abs(own).reshape(len(own), -1).max(axis=1))
        apart = np.abs(got - own).reshape(len(own), -1)
        if self._tolerance == _TOLERANCE_16_BIT:  # spikes move in every example: judge the typical output
            each = np.median(apart, axis=1) / size
        else:
            each = apart.max(axis=1) / size
        each = np.where(np.isfinite(each), each, np.where(np.isfinite(own).reshape(len(own), -1).all(1), np.inf, 0.0))
        most = max(np.median(each[i : i + _EACH]) for i in range(0, len(each), _EACH))
        return float(most) if most > self._tolerance else 0.0

    def _refusal(self, reason: str) -> InputError:
        own = [f"{layer.name} ({type(layer).__name__})" for layer in self.network.foreign_layers()]
        mend = "export a SavedModel, which traces every layer's own call" if self.format != "savedmodel" else ""
        if own:
            mend = f"look at {', '.join(own)}: a neuron's equation belongs in its step" + (
                f", or {mend}" if mend else ""
            )
        return InputError(
            f"model must answer as its {self.format} export does: {reason}; {mend or 'nothing was written'}"
        )
