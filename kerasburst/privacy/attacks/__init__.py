"""Attacks: pure functions from signals to membership scores, higher for a member; `Attack` is how an audit runs one."""

from kerasburst.privacy.attacks.attack import Answers, Attack, Evidence
from kerasburst.privacy.attacks.dispersion import dispersion_scores
from kerasburst.privacy.attacks.energy import energy_scores
from kerasburst.privacy.attacks.every_model import (
    every_target,
    leave_pair_out,
    partners,
    references,
    target_scores,
    tpr_over_targets,
)
from kerasburst.privacy.attacks.input_dropout import dropout_signal
from kerasburst.privacy.attacks.label_only import label_only_scores
from kerasburst.privacy.attacks.lira import lira, temporal_lira
from kerasburst.privacy.attacks.membranes import membrane_scores
from kerasburst.privacy.attacks.replay import replay_signal
from kerasburst.privacy.attacks.rmia import rmia
from kerasburst.privacy.attacks.svm import ClassAUC, SVMScores, per_class_auc, svm_scores
from kerasburst.privacy.attacks.threshold import (
    ThresholdResult,
    apply_threshold,
    choose_threshold,
    entropy_scores,
    loss_scores,
    modified_entropy_scores,
)

__all__ = [
    "Answers",
    "Attack",
    "ClassAUC",
    "Evidence",
    "SVMScores",
    "ThresholdResult",
    "apply_threshold",
    "choose_threshold",
    "dispersion_scores",
    "dropout_signal",
    "energy_scores",
    "entropy_scores",
    "every_target",
    "label_only_scores",
    "leave_pair_out",
    "lira",
    "loss_scores",
    "membrane_scores",
    "modified_entropy_scores",
    "partners",
    "per_class_auc",
    "references",
    "replay_signal",
    "rmia",
    "svm_scores",
    "target_scores",
    "temporal_lira",
    "tpr_over_targets",
]
