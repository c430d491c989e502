"""Threshold attacks: loss, entropy and modified entropy, with a threshold chosen on the shadows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kerasburst.intervals import clopper_pearson
from kerasburst.privacy import statistics
from kerasburst.privacy.attacks.attack import Attack, Evidence
from kerasburst.privacy.checks import check_membership, check_scores
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.validation import check_float, fail


def loss_scores(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the negative loss, log p_y, averaged over queries.

    Args:
        logits: `(n, C)`, or `(n, K, C)` for K queries; further axes in between are averaged as well.
        labels: integers from 0 to C - 1, `(n,)`.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: as `kerasburst.privacy.statistics.loss`.

    Example:
        >>> loss_scores([[3.0, 0.0], [0.0, 3.0]], [0, 0]).round(3).tolist()
        [-0.049, -3.049]

    References:
        Yeom et al., Privacy Risk in Machine Learning, 2018.
    """
    return _negative_mean(statistics.loss(logits, labels))


def entropy_scores(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the negative entropy of the prediction, averaged over queries.

    Args:
        logits: `(n, C)`, or `(n, K, C)` for K queries; further axes in between are averaged as well.
        labels: integers from 0 to C - 1, `(n,)`; not used.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: as `kerasburst.privacy.statistics.entropy`.

    Example:
        >>> entropy_scores([[3.0, 0.0], [0.0, 3.0]], [0, 0]).round(3).tolist()
        [-0.191, -0.191]

    References:
        Shokri et al., Membership Inference Attacks Against Machine Learning Models, 2017.
    """
    return _negative_mean(statistics.entropy(logits, labels))


def modified_entropy_scores(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the negative modified entropy, averaged over queries.

    Args:
        logits: `(n, C)`, or `(n, K, C)` for K queries; further axes in between are averaged as well.
        labels: integers from 0 to C - 1, `(n,)`.

    Returns:
        membership scores, higher for a member, float64 `(n,)`.

    Raises:
        InputError: as `kerasburst.privacy.statistics.modified_entropy`.

    Example:
        >>> modified_entropy_scores([[3.0, 0.0], [0.0, 3.0]], [0, 0]).round(3).tolist()
        [-0.005, -5.808]

    References:
        Song and Mittal, Systematic Evaluation of Privacy Risks of Machine Learning Models, 2021.
    """
    return _negative_mean(statistics.modified_entropy(logits, labels))


@dataclass(frozen=True)
class ThresholdResult:
    """Counts at a threshold that was chosen on other models.

    Args:
        threshold: examples with at least this score are called members.
        true_positives: members called one.
        members: number of members.
        false_positives: non-members called a member.
        non_members: number of non-members.

    Example:
        >>> result = ThresholdResult(0.5, true_positives=8, members=10, false_positives=1, non_members=10)
        >>> result.accuracy, round(result.attacker_advantage, 3)
        (0.85, 0.7)
        >>> [round(value, 3) for value in result.attacker_advantage_interval()]
        [0.266, 0.865]
    """

    threshold: float
    true_positives: int
    members: int
    false_positives: int
    non_members: int

    @property
    def accuracy(self) -> float:
        """Share of correct calls."""
        right = self.true_positives + self.non_members - self.false_positives
        return right / (self.members + self.non_members)

    @property
    def attacker_advantage(self) -> float:
        """TPR - FPR; below 0 for a threshold that misleads."""
        return self.true_positives / self.members - self.false_positives / self.non_members

    def accuracy_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Clopper-Pearson interval of the accuracy, (low, high)."""
        confidence = check_float("confidence", confidence, above=0.0, below=1.0)
        total = self.members + self.non_members
        return clopper_pearson(round(self.accuracy * total), total, confidence)

    def attacker_advantage_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return Newcombe's interval of TPR - FPR, from two Wilson intervals, (low, high)."""
        confidence = check_float("confidence", confidence, above=0.0, below=1.0)
        tpr, fpr = self.true_positives / self.members, self.false_positives / self.non_members
        pairs = ((self.true_positives, self.members), (self.false_positives, self.non_members))
        of_tpr, of_fpr = (stats.binomtest(k, n).proportion_ci(confidence, method="wilson") for k, n in pairs)
        low = tpr - fpr - np.hypot(tpr - of_tpr.low, of_fpr.high - fpr)
        high = tpr - fpr + np.hypot(of_tpr.high - tpr, fpr - of_fpr.low)
        return float(low), float(high)


def choose_threshold(scores: np.ndarray, membership: np.ndarray) -> float:
    """Return the threshold with the largest TPR - FPR on shadow models; the highest one if several are equal.

    Args:
        scores: of points under shadow models, any shape, such as `(N, n)`.
        membership: which of them are IN, the same shape.

    Returns:
        One of the scores, or infinity (nobody is called a member) if no threshold has an advantage above 0.

    Raises:
        InputError: for scores that are NaN, or membership that does not fit or has only one of the two.

    Example:
        >>> choose_threshold([[3.0, 1.0], [2.0, 0.0]], [[1, 0], [1, 0]])
        2.0

    References:
        Yeom et al., Privacy Risk in Machine Learning, 2018.
    """
    both = MembershipScores.from_labels(
        np.ravel(scores), check_membership("membership", membership, np.shape(scores)).ravel()
    )
    fpr, tpr = both.roc()
    thresholds = np.unique(np.ravel(scores))[::-1]
    best = int(np.argmax(tpr - fpr))
    return float("inf") if best == 0 else float(thresholds[best - 1])


def apply_threshold(scores: np.ndarray, membership: np.ndarray, threshold: float) -> ThresholdResult:
    """Count the target's points whose score is at least a threshold chosen on shadows.

    Args:
        scores: of the target, `(n,)`.
        membership: which points are members of the target, `(n,)`.
        threshold: of `choose_threshold`.

    Raises:
        InputError: for bad arguments, or membership with only one of the two.

    Example:
        >>> apply_threshold([3.0, 1.0, 2.0], [1, 1, 0], 2.5).accuracy
        0.6666666666666666
    """
    if not isinstance(threshold, (int, float)) or threshold != threshold:
        raise fail("threshold", "a number", threshold)
    both = MembershipScores.from_labels(scores, membership)
    called = [int((side >= threshold).sum()) for side in (both.member_scores, both.non_member_scores)]
    return ThresholdResult(float(threshold), called[0], len(both.member_scores), called[1], len(both.non_member_scores))


def _negative_mean(statistic: np.ndarray) -> np.ndarray:
    return check_scores("scores", -statistic.reshape(len(statistic), -1).mean(axis=1))


def _attack(scores: Callable[[np.ndarray, np.ndarray], np.ndarray], description: str, **parts: bool) -> Attack:
    def score(evidence: Evidence) -> np.ndarray:
        return scores(evidence.target.logits, evidence.labels)

    return Attack(score=score, threshold=True, description=description, **parts)


LOSS = _attack(loss_scores, "a threshold on the loss", bypass=True)
ENTROPY = _attack(entropy_scores, "a threshold on the entropy of the prediction")
MODIFIED_ENTROPY = _attack(modified_entropy_scores, "a threshold on the entropy that the label enters")
