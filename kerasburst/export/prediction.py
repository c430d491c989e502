"""`Prediction`: what a model says of examples, over K encodings of each."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """Classes and probabilities of n examples.

    Args:
        classes: the class of the largest mean logit, `(n,)`.
        labels: its name for each example; the class's number where no names are known.
        probabilities: softmax of the mean logits over the encodings, `(n, C)`.
        spread: standard deviation of the single encodings' probabilities, `(n, C)`; 0 where there is one encoding.
        logits: mean over the encodings, `(n, C)`.
        queries: K, encodings of each example; 1 for a deterministic encoder.
        seed: of the encodings.
    """

    classes: np.ndarray
    labels: tuple[str, ...]
    probabilities: np.ndarray
    spread: np.ndarray
    logits: np.ndarray
    queries: int
    seed: int

    def to_json(self) -> dict:
        """Give the prediction as JSON values."""
        return {
            "queries": self.queries,
            "seed": self.seed,
            "predictions": [
                {
                    "class": int(self.classes[i]),
                    "label": self.labels[i],
                    "probability": float(self.probabilities[i, self.classes[i]]),
                    "spread": float(self.spread[i, self.classes[i]]),
                    "probabilities": self.probabilities[i].tolist(),
                    "spreads": self.spread[i].tolist(),
                    "logits": self.logits[i].tolist(),
                }
                for i in range(len(self.classes))
            ],
        }
