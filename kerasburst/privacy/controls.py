"""Controls: they fail if the audit could not find a leak, or would find one where there is none."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import special, stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.result import LEAST_LEAK, CanaryResult, Control
from kerasburst.privacy.splits import AuditSplits
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError

FALSE_ALARMS = 0.01  # of all chance controls of an audit together
PERMUTATIONS = 100  # of membership, each with its complement
LEARNT = 0.75  # of the canaries' random labels: a network that knows fewer cannot learn them by heart
POWER = 0.99  # that a planted leak should be found with
REMEDY = {
    "splits_disjoint": "remove the examples that occur twice from the data, and begin anew",
    "blind_baseline": "members and non-members differ before any training: look for an order, a date or a source that "
    "separates them, or draw them anew with another --seed",
    "untrained": "repeat with another --seed; if it fails again, the examples' labels or their order give members away",
    "permuted_membership": "the AUC itself is wrong: report it with the audit's scores.npz",
    "planted_leak": "train the networks with more hidden units or another learning rate, or audit more members",
    "weights_differ": "a model was copied or the seed has no effect: delete the models named and --resume",
    "cross_target": "repeat with another --seed; if it fails again, the models' training sets are not independent",
    "canaries": "the attacks see nothing that these models have learnt by heart: check the labels, or add --shadows",
}


def confidence(arms: int) -> float:
    """Return the confidence of each control that can fail by chance.

    Bonferroni's correction over the blind baseline, and the untrained and cross-target controls of each arm:

        1 - 0.01 / (1 + 2 arms)

    so that all of them together fail in at most 1 % of honest audits.

    Args:
        arms: number of encodings or defences in the audit, at least 1.

    Example:
        >>> round(confidence(1), 5), round(confidence(3), 5)
        (0.99667, 0.99857)
    """
    return 1.0 - FALSE_ALARMS / (1 + 2 * arms)


def chance(name: str, scores: MembershipScores, encoding: str | None = None, confidence: float = 0.999) -> Control:
    """Check that scores are no better than chance: the interval of their AUC holds 0.5."""
    low, high = scores.auc_interval(confidence)
    return Control(
        name=name,
        ok=low <= 0.5 <= high,
        rule=_holds(confidence),
        encoding=encoding,
        auc=scores.auc(),
        interval=(low, high),
        confidence=confidence,
    )


def _holds(confidence: float) -> str:
    return f"the {100 * confidence:.4g} % interval of the AUC holds 0.5"


def planted_leak(scores: MembershipScores, encoding: str, learnt: float = 1.0) -> Control:
    """Check that scores find the mislabelled points that a model was trained on.

    A network that cannot learn them by heart has no such leak to find: the control says so and holds.

    Args:
        scores: of the canaries.
        encoding: whose model it is.
        learnt: share of the canaries that the model calls by the random labels it was trained on.
    """
    low, high = scores.auc_interval()
    unable = low <= LEAST_LEAK and learnt < LEARNT
    detail = f"the network cannot learn them by heart: it knows {100 * learnt:.0f} % of those it was trained on"
    return Control(
        name="planted_leak",
        ok=low > LEAST_LEAK or unable,
        rule=f"the 95 % interval of the AUC lies above {LEAST_LEAK}, or the network knows less than "
        f"{100 * LEARNT:.0f} % of the random labels that it was trained on",
        encoding=encoding,
        auc=scores.auc(),
        interval=(low, high),
        confidence=0.95,
        detail=detail if unable else "",
    )


def planted_power(members: int, num_classes: int) -> float:
    """Compute how often the planted leak is found where a network has learnt its canaries by heart.

    Such a network is sure of each of the m canaries that it was trained on. Each of the m others has the label that the
    network would give it with probability 1 / C, and then looks like a member.

    Args:
        members: m, canaries that the network is trained on.
        num_classes: C, at least 2.

    Example:
        >>> round(planted_power(4, 10), 3), round(planted_power(16, 10), 3)
        (0.001, 0.991)
    """
    alike = np.arange(members + 1)
    pmf = stats.binom.pmf(alike, members, 1 / num_classes)
    likely = alike[pmf > 1e-6]
    low = np.array([_planted_low(members, int(b)) for b in likely])
    # The AUC of b non-members among m members varies about 0.5; the planted leak's with it.
    spread = likely / members * np.sqrt((likely + members + 1) / (12 * np.maximum(likely, 1) * members))
    return float(pmf[likely] @ special.ndtr((low - LEAST_LEAK) / np.maximum(spread, 1e-9)))


def _planted_low(members: int, alike: int) -> float:
    """Return the lower end of the planted leak's AUC where some non-members look like members."""
    others = np.concatenate([(np.arange(alike) + 0.5) * members / max(alike, 1), -1.0 - np.arange(members - alike)])
    return MembershipScores(np.arange(members) + 0.25, others).auc_interval()[0]


@functools.cache
def members_needed(num_classes: int, power: float = POWER) -> int:
    """Return the fewest members whose planted leak is found with a power, of 99 % by default.

    Example:
        >>> members_needed(10), members_needed(2)
        (16, 121)
    """
    sizes = range(2, 1000)
    return sizes[bisect.bisect_left(sizes, power, key=lambda members: planted_power(members, num_classes))]


def check_power(members: int, num_classes: int) -> str:
    """Check before any training that the planted leak can be found.

    Args:
        members: of a target.
        num_classes: of the data.

    Returns:
        A warning in one line, or "".

    Raises:
        InputError: if it would be missed more often than found.
    """
    needed = members_needed(num_classes)
    if members >= needed:
        return ""
    if planted_power(members, num_classes) < 0.5:
        raise InputError(
            f"members must be at least {needed} with {num_classes} classes for the control planted_leak to find what "
            f"it plants, received {members}; from {members_needed(num_classes, 0.5)} on the audit runs, with a warning"
        )
    return (
        f"with {members} members and {num_classes} classes the control planted_leak misses what it plants in "
        f"{100 * (1 - planted_power(members, num_classes)):.0f} % of audits; --members {needed} or more find it"
    )


def permuted_membership(scores: np.ndarray, membership: np.ndarray, encoding: str, seed: int) -> Control:
    """Check that an attack finds nothing if membership is permuted at random.

    This tests how scores become an AUC: ties, and the sides of members and non-members. Each permutation is used twice,
    the second time with members and non-members swapped: these two AUCs have the mean 0.5 exactly, so that this control
    never fails by chance.
    """
    rng = np.random.default_rng(derive_seed(seed, "audit", "permuted", encoding))
    drawn = [rng.permutation(membership) for _ in range(PERMUTATIONS)]
    pairs = np.array([[MembershipScores.from_labels(scores, side).auc() for side in (each, ~each)] for each in drawn])
    means = pairs.mean(axis=1)
    return Control(
        name="permuted_membership",
        ok=bool(np.abs(means - 0.5).max() < 1e-9),
        rule=f"membership is permuted at random {PERMUTATIONS} times: the AUC, averaged with that of members and "
        "non-members swapped, is 0.5 each time",
        encoding=encoding,
        auc=float(means.mean()),
        interval=(float(means.min()), float(means.max())),
    )


def blind_baseline(
    x: np.ndarray, y: np.ndarray, membership: np.ndarray, seed: int, confidence: float = 0.999
) -> Control:
    """Check that the examples alone, without any model, do not reveal membership.

    A random forest on pixels and labels is fitted on one half of the examples and scored on the other. It finds members
    and non-members that were drawn from different distributions, such as a data set's official training and test parts.
    Scores from several folds would be more, but dependent: their AUC varies a third more than its interval says.

    Args:
        x: raw examples `(n, *features)`.
        y: labels `(n,)`.
        membership: `(n,)`.
        seed: of forest and halves.
        confidence: of the interval that must hold 0.5.
    """
    features = np.column_stack([x.reshape(len(x), -1), np.eye(int(y.max()) + 1)[y]])
    forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=seed % 2**32, n_jobs=1)
    fit_x, x, fit_membership, membership = train_test_split(
        features, membership, test_size=0.5, stratify=membership, random_state=seed % 2**32
    )
    scores = forest.fit(fit_x, fit_membership).predict_proba(x)[:, 1]
    return chance("blind_baseline", MembershipScores.from_labels(scores, membership), confidence=confidence)


def weights_differ(records: dict[str, dict], encoding: str) -> Control:
    """Check that all models have different weights."""
    by_hash: dict[str, list[str]] = {}
    for role, record in records.items():
        by_hash.setdefault(record["weights"], []).append(role)
    same = [" = ".join(roles) for roles in by_hash.values() if len(roles) > 1]
    return Control(
        name="weights_differ",
        ok=not same,
        rule="no two models have the same weights",
        encoding=encoding,
        detail="; ".join(same) or f"{len(records)} different models",
    )


def cross_target(scores: Iterable[tuple[np.ndarray, np.ndarray]], encoding: str, confidence: float) -> Control:
    """Check that what is said of one model says nothing about the training set of another.

    Given the scores, an AUC against a random half of m and n points has the variance (m + n + 1) / (12 m n); the
    interval takes AUCs against one model as fully dependent.

    Args:
        scores: for some models, which points each trained on, bool `(n,)`, and an attack's scores of others `(T, n)`,
            computed without knowing this.
        encoding: whose models they are.
        confidence: of the interval that must hold 0.5.
    """
    means, variances = [], []
    for mask, others in scores:
        means.append(np.mean([MembershipScores.from_labels(row, mask).auc() for row in others]))
        m, n = int(mask.sum()), int((~mask).sum())
        variances.append((m + n + 1) / (12 * m * n))
    auc = float(np.mean(means))
    width = float(-special.ndtri((1 - confidence) / 2) * np.sqrt(np.sum(variances)) / len(means))
    return Control(
        name="cross_target",
        ok=abs(auc - 0.5) <= width,
        rule=_holds(confidence),
        encoding=encoding,
        auc=auc,
        interval=(auc - width, auc + width),
        confidence=confidence,
    )


def canaries(found: CanaryResult, encoding: str) -> Control:
    """Check that an attack finds the mislabelled points that targets and references trained on.

    Models that have not learnt them by heart have no such leak: the control says so and holds. So it does where too few
    models leave that undecided. Attacks that miss what was learnt are called blind.
    """
    if not found.learnt and found.known_by_members > found.known_by_others:
        detail = "more models would be needed to tell whether they learn a wrong label by heart"
    elif not found.learnt:
        detail = "these models do not learn a wrong label by heart: no attack could find it"
    elif found.blind:
        detail = f"found, but {', '.join(found.blind)} {'is' if len(found.blind) == 1 else 'are'} blind"
    else:
        detail = "found by every attack"
    if found.learnt and len(found.blind) == len(found.auc):
        detail = "learnt, and found by no attack"
    known = [f"{100 * share:.0f} % known" for share in (found.known_by_members, found.known_by_others)]
    return Control(
        name="canaries",
        ok=not found.learnt or len(found.blind) < len(found.auc),
        rule="an attack finds the wrong labels that models have learnt by heart",
        encoding=encoding,
        detail=f"{detail} ({known[0]} where trained on, {known[1]} elsewhere)",
    )


def splits_disjoint(pools: Sequence[AuditSplits], x: np.ndarray) -> Control:
    """Check that audited points, the target's own, shadow pool, population and canaries share no example, by value.

    Neither do the pools.
    """
    owners: dict[bytes, str] = {}
    shared = 0
    for pool, splits in enumerate(pools):
        for part in ("audited", "target_only", "shadow_pool", "population", "canaries"):
            for index in getattr(splits, part):
                place = f"{pool} {part} {index}" if part == "audited" else f"{pool} {part}"
                shared += owners.setdefault(x[index].tobytes(), place) != place
    return Control(
        name="splits_disjoint",
        ok=shared == 0,
        rule="audited points, what only the target trains on, shadow pool, population and canaries share no example",
        detail=f"{shared} shared examples",
    )
