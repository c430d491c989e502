"""tensorflow-privacy's own attacks and epsilon lower bound on the audit's signals; the only file that imports it.

It needs the extra `tf-privacy`, imported on first use. Since tensorflow-privacy 0.9 its attacks are in
tensorflow-empirical-privacy, which installs them at the old place.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType

import numpy as np

from kerasburst.privacy.attacks import loss_scores, modified_entropy_scores
from kerasburst.privacy.checks import check_membership
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.result import TFPrivacyAttack
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError, check_choice, check_int

PACKAGES = ("tensorflow-privacy", "tensorflow-empirical-privacy")
TRAINED = {
    "logistic_regression": "LOGISTIC_REGRESSION",
    "mlp": "MULTI_LAYERED_PERCEPTRON",
    "random_forest": "RANDOM_FOREST",
    "k_nearest_neighbors": "K_NEAREST_NEIGHBORS",
}
ATTACKS = {"threshold": "THRESHOLD_ATTACK", "threshold_entropy": "THRESHOLD_ENTROPY_ATTACK", **TRAINED}  # its names
LEAST, LEAST_TRAINED = 2, 12  # of a side: two for an interval; two folds of three folds with seven neighbours each
LIMITS = (
    "They are run on target 0 only, on the means of logits, loss and entropy over the largest K.",
    "The trained attacks (logistic regression, MLP, random forest, k-NN) cross-validate on the target's own "
    "membership labels: they model an attacker who already knows half of the members. Each half is scored by the "
    "attacker that learnt from the other, so without any leak the AUC can be well below 0.5; the intervals over "
    "examples and 'by chance' do not include this effect.",
    "The epsilon lower bound is the best of all thresholds, each at 95 % confidence, without correction for their "
    "number: from 100 members and 100 non-members that nothing tells apart it is above 0 in four of five draws. "
    "'By chance' is what it exceeds in one of twenty such draws of the same sizes, for one attack; a bound below that "
    "is no finding, and of many attacks some will be above. It is evidence from this one target, never a guarantee, "
    "and not an epsilon of differential privacy.",
    "The advantage is the largest |TPR - FPR| over thresholds, chosen in hindsight, in whichever direction.",
    "The entropy is the modified entropy, which knows the label, as tensorflow-privacy computes it.",
    "The MLP stops after 200 iterations, converged or not; half of the random forest's grid asks for "
    "max_features='auto', which scikit-learn no longer has: the other half, which means the same, is used.",
    "compute_score_lira, its LiRA, gives small scores to members and needs shadow models: it is not run here; the "
    "audit's own LiRA equals it with the sign turned.",
)

_PLACE = "tensorflow_privacy.privacy.privacy_tests"
_CHANCE_DRAWS = 200


def load(name: str) -> ModuleType:
    """Import a module of tensorflow-privacy's `privacy_tests`.

    Args:
        name: such as "epsilon_lower_bound" or "membership_inference_attack.advanced_mia".

    Raises:
        InputError: if the extra is missing or does not load, with the pip line that installs it.
    """
    flagged = hasattr(sys, "skip_tf_privacy_import")
    sys.skip_tf_privacy_import = True  # else it imports estimators, which TensorFlow no longer has
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"{_PLACE}.{name}")
    except ImportError as error:
        raise InputError(f"tf_privacy needs: pip install 'kerasburst[tf-privacy]' ({error})") from None
    finally:
        if not flagged:
            del sys.skip_tf_privacy_import


def check_installed() -> None:
    """Check that the extra is installed.

    Raises:
        InputError: if it is missing or does not load, with the pip line that installs it.
    """
    load("membership_inference_attack.membership_inference_attack")


def versions() -> dict[str, str]:
    """Return the versions of its packages."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def attack_slice(
    logits: np.ndarray,
    labels: np.ndarray,
    membership: np.ndarray,
    label: int | None = None,
    *,
    attacks: Iterable[str] = tuple(ATTACKS),
    seed: int = 0,
) -> tuple[TFPrivacyAttack, ...]:
    """Run tensorflow-privacy's attacks on one slice of a target's answers.

    Its attackers draw from numpy's global generator, which is seeded for each attack and restored afterwards.

    Args:
        logits: of the target, `(n, C)`, or `(n, K, C)` for K queries; means of logits, loss and modified entropy
            are attacked.
        labels: integers from 0 to C - 1, `(n,)`.
        membership: which points are members, `(n,)`.
        label: class of the slice; None for the entire data set.
        attacks: names of `ATTACKS`.
        seed: of the attackers' draws.

    Returns:
        One for each attack, with `skipped` if the slice has too few members or non-members for it.

    Raises:
        InputError: for bad arguments, or without the extra.
    """
    attacks, seed = [check_choice("attacks", name, ATTACKS) for name in attacks], check_int("seed", seed, low=0)
    loss, entropy = -loss_scores(logits, labels), -modified_entropy_scores(logits, labels)
    labels = np.asarray(labels)
    membership = check_membership("membership", membership, labels.shape)
    chosen = np.ones(len(labels), bool) if label is None else labels == label
    members, non_members = chosen & membership, chosen & ~membership
    logits = np.asarray(logits, np.float64)
    signals = {
        "logits": logits.reshape(len(logits), -1, logits.shape[-1]).mean(1),
        "labels": labels,
        "loss": loss,
        "entropy": entropy,
    }
    given = {f"{name}_train": values[members] for name, values in signals.items()}
    given |= {f"{name}_test": values[non_members] for name, values in signals.items()}
    sizes = int(members.sum()), int(non_members.sum())
    by_chance = None
    found = []
    for attack in attacks:
        result = None
        skipped = _too_small(attack, sizes)
        if not skipped:
            result = _run(attack, given, derive_seed(seed, "tf_privacy", attack, "all" if label is None else label))
            by_chance = epsilon_by_chance(*sizes, seed) if by_chance is None else by_chance
            skipped = None if result else "tensorflow-privacy gave no result"
        about = {"attack": attack, "label": label, "members": sizes[0], "non_members": sizes[1], "skipped": skipped}
        found.append(TFPrivacyAttack(**about, **(_figures(result, by_chance) if result else {})))
    return tuple(found)


def epsilon_by_chance(members: int, non_members: int, seed: int = 0) -> float:
    """Return what its epsilon lower bound exceeds in 5 % of draws of random scores.

    Args:
        members: number of members.
        non_members: number of non-members.
        seed: of 200 draws.
    """
    rng = np.random.default_rng(derive_seed(seed, "tf_privacy", "chance", members, non_members))
    draws = (rng.random(members + non_members) for _ in range(_CHANCE_DRAWS))
    bounds = [epsilon_lower_bound(scores[:members], scores[members:]) for scores in draws]
    return float(np.quantile([bound for bound in bounds if bound is not None], 0.95))


def epsilon_lower_bound(member_scores: np.ndarray, non_member_scores: np.ndarray) -> float | None:
    """Return its epsilon lower bound, nats: the best of all thresholds at 95 % confidence, by Bailey's method.

    Args:
        member_scores: `(m,)`, of any direction.
        non_member_scores: `(n,)`.

    Returns:
        None if no threshold gives a bound.
    """
    module = load("epsilon_lower_bound")
    bounds = module.EpsilonLowerBound(
        pos_scores=np.asarray(member_scores, np.float64),
        neg_scores=np.asarray(non_member_scores, np.float64),
        alpha=0.05,
        two_sided_threshold=True,
    )
    with _quiet():
        best = bounds.compute_epsilon_lower_bound(module.BoundMethod.BAILEY, k=1)
    return float(best[0]) if len(best) else None


def _too_small(attack: str, sizes: tuple[int, int]) -> str | None:
    least = LEAST_TRAINED if attack in TRAINED else LEAST
    if min(sizes) >= least:
        return None
    return f"needs at least {least} members and {least} non-members, the slice has {sizes[0]} and {sizes[1]}"


def _run(attack: str, given: dict[str, np.ndarray], seed: int):
    """Run one attack; return None if tensorflow-privacy finds too few examples for it."""
    module = load("membership_inference_attack.membership_inference_attack")
    data = load("membership_inference_attack.data_structures")
    kind = data.AttackType[ATTACKS[attack]]
    with _numpy_seeded(seed), _quiet():
        results = module.run_attacks(data.AttackInputData(**given), attack_types=[kind]).single_attack_results
    return results[0] if results else None


def _figures(result, by_chance: float) -> dict:
    scores = result.membership_scores_train, result.membership_scores_test
    both = MembershipScores(*scores), MembershipScores(*(-side for side in scores))  # its advantage has no direction
    best = result.get_epsilon_lower_bound()
    return {
        "auc": float(result.get_auc()),
        "auc_interval": both[0].auc_interval(),
        "attacker_advantage": float(result.get_attacker_advantage()),
        "attacker_advantage_interval": tuple(
            max(ends) for ends in zip(*(side.attacker_advantage_interval() for side in both), strict=True)
        ),
        "epsilon_lower_bound": float(best[0]) if len(best) else None,
        "epsilon_by_chance": by_chance,
    }


@contextlib.contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence tensorflow-privacy's usual warnings, and keep it from configuring logging for the whole process."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=rf"{_PLACE}\.epsilon_lower_bound")
            # Half of the forest's grid, and no other fits: see LIMITS.
            half = r"(?s)\s*108 fits failed out of a total of 216.*\n108 fits failed with .*Got 'auto' instead"
            warnings.filterwarnings("ignore", half)
            warnings.filterwarnings("ignore", "One or more of the test scores are non-finite", UserWarning)
            warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")
            warnings.filterwarnings("ignore", "lbfgs failed to converge")
            yield
    finally:
        root.removeHandler(silent)
