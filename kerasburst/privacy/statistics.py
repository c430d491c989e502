"""Signals from the logits of one example: phi, loss, entropy and modified entropy.

All are exact in float64 for logits as large as 1e4: they never take the logarithm of a rounded probability.
"""

from __future__ import annotations

import numpy as np

from kerasburst.privacy.checks import are_bits, as_array, as_numbers, looks_like_probabilities
from kerasburst.validation import fail


def phi(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the scaled confidence, the log-odds of the true class.

        phi = z_y - log sum_{c != y} exp(z_c) = log(p_y / (1 - p_y))

    Args:
        logits: z, `(n, ..., C)` with C of at least 2; any axes between, such as queries or steps.
        labels: y, integers from 0 to C - 1, `(n,)`.

    Returns:
        float64 `(n, ...)`.

    Raises:
        InputError: for logits that are not finite, or labels that do not fit them.

    Example:
        >>> phi([[2.0, 0.5], [1e4, -1e4]], [0, 1]).tolist()
        [1.5, -20000.0]

    References:
        Carlini et al., Membership Inference Attacks From First Principles, 2022, section IV-C.
    """
    z, labels = checked(logits, labels)
    return _phi(z, labels)


def loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the cross-entropy of the true class.

        loss = -log p_y = log(1 + exp(-phi))

    Args:
        logits: z, `(n, ..., C)` with C of at least 2.
        labels: y, integers from 0 to C - 1, `(n,)`.

    Returns:
        float64 `(n, ...)`, not negative.

    Raises:
        InputError: for logits that are not finite, or labels that do not fit them.

    Example:
        >>> loss([[0.0, 0.0], [1e4, -1e4]], [0, 1]).round(4).tolist()
        [0.6931, 20000.0]

    References:
        Yeom et al., Privacy Risk in Machine Learning, 2018.
    """
    z, labels = checked(logits, labels)
    return np.logaddexp(0.0, -_phi(z, labels))


def entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the entropy of the prediction; the labels are checked but not used.

        H = -sum_c p_c log p_c

    Args:
        logits: z, `(n, ..., C)` with C of at least 2.
        labels: y, integers from 0 to C - 1, `(n,)`.

    Returns:
        float64 `(n, ...)`, from 0 to log C.

    Raises:
        InputError: for logits that are not finite, or labels that do not fit them.

    Example:
        >>> entropy([[0.0, 0.0], [1e4, -1e4]], [0, 1]).round(4).tolist()
        [0.6931, 0.0]

    References:
        Shokri et al., Membership Inference Attacks Against Machine Learning Models, 2017.
    """
    z, _ = checked(logits, labels)
    log_p, _ = _log_probabilities(z)
    return -(np.exp(log_p) * log_p).sum(axis=-1) + 0.0


def modified_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute an entropy that uses the label: small for a confident right prediction, large for a confident wrong one.

        M = -(1 - p_y) log p_y - sum_{i != y} p_i log(1 - p_i)

    Args:
        logits: z, `(n, ..., C)` with C of at least 2.
        labels: y, integers from 0 to C - 1, `(n,)`.

    Returns:
        float64 `(n, ...)`, not negative.

    Raises:
        InputError: for logits that are not finite, or labels that do not fit them.

    Example:
        >>> modified_entropy([[0.0, 0.0], [1e4, -1e4]], [0, 1]).round(4).tolist()
        [0.6931, 40000.0]

    References:
        Song and Mittal, Systematic Evaluation of Privacy Risks of Machine Learning Models, 2021.
    """
    z, labels = checked(logits, labels)
    log_p, log_rest = _log_probabilities(z)
    true = _true_class(z, labels)
    terms = np.where(true, np.exp(log_rest) * log_p, np.exp(log_p) * log_rest)
    return -terms.sum(axis=-1) + 0.0


def _phi(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    true = _true_class(z, labels)
    others = np.where(true, -np.inf, z)
    largest = others.max(axis=-1)
    rest = largest + np.log(np.exp(others - largest[..., None]).sum(axis=-1))
    return np.where(true, z, 0.0).sum(axis=-1) - rest


def _log_probabilities(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log p and log(1 - p) of each class; only the largest p can be near 1, and it has its own formula."""
    top = np.arange(z.shape[-1]) == z.argmax(axis=-1)[..., None]
    below = z - z.max(axis=-1, keepdims=True)
    others = np.where(top, -np.inf, below)
    second = others.max(axis=-1, keepdims=True)
    log_sum = second + np.log(np.exp(others - second).sum(axis=-1, keepdims=True))  # of all but the largest
    log_total = np.logaddexp(0.0, log_sum)
    log_p = below - log_total
    log_rest = np.where(top, log_sum - log_total, np.log1p(-np.exp(np.where(top, -np.inf, log_p))))
    return log_p, log_rest


def _true_class(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.arange(z.shape[-1]) == labels.reshape(-1, *(1,) * (z.ndim - 1))


def checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits as float64 and labels as an array, which fit each other.

    Raises:
        InputError: for logits that are not finite, or labels that do not fit them.
    """
    z, y = as_numbers("logits", logits), as_array("labels", labels)
    if z.ndim < 2 or z.size == 0 or z.shape[-1] < 2:
        raise fail("logits", "of shape (n, ..., C) with n of at least 1 and C of at least 2", f"shape {z.shape}")
    if not np.isfinite(z).all():
        raise fail("logits", "finite", float(z[~np.isfinite(z)][0]))
    if looks_like_probabilities(z) and not are_bits(z):  # counts of spikes in one step, one for each example, are bits
        raise fail("logits", "logits, or logarithms of probabilities", "probabilities, 0 to 1 in rows that sum to 1")
    if y.shape != z.shape[:1]:
        one_hot = "; of one-hot labels take labels.argmax(-1)" if y.shape == (len(z), z.shape[-1]) else ""
        raise fail("labels", f"of shape ({len(z)},), one for each example of logits{one_hot}", f"shape {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise fail("labels", "integers (labels.astype(int) makes them so)", f"{y.dtype} values")
    classes = z.shape[-1]
    if y.min() < 0 or y.max() >= classes:
        raise fail("labels", f"from 0 to {classes - 1}", int(y[(y < 0) | (y >= classes)][0]))
    return z, y
