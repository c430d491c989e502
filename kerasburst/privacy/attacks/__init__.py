"""Attacks: pure functions from signals to membership scores, higher for a member."""

from kerasburst.privacy.attacks.lira import lira
from kerasburst.privacy.attacks.rmia import rmia
from kerasburst.privacy.attacks.svm import ClassAUC, SVMScores, per_class_auc, svm_scores
from kerasburst.privacy.attacks.temporal import temporal_lira, temporal_svm
from kerasburst.privacy.attacks.threshold import (
    ThresholdResult,
    apply_threshold,
    choose_threshold,
    entropy_scores,
    loss_scores,
    modified_entropy_scores,
)

__all__ = [
    "ClassAUC",
    "SVMScores",
    "ThresholdResult",
    "apply_threshold",
    "choose_threshold",
    "entropy_scores",
    "lira",
    "loss_scores",
    "modified_entropy_scores",
    "per_class_auc",
    "rmia",
    "svm_scores",
    "temporal_lira",
    "temporal_svm",
]
