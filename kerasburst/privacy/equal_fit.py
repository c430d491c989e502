"""Every trained model as a target: AUC over accuracy, and arms compared where they fit equally well.

With N models that trained on random halves of the audited points, each serves once as the target and the others as its
references. The model that trained on the complementary half is left out: with it, the number of references that know a
point would give the target's membership away.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasburst.intervals import hierarchical_interval
from kerasburst.privacy.attacks import Answers, Evidence
from kerasburst.privacy.attacks.every_model import every_target, target_scores, tpr_over_targets
from kerasburst.privacy.epsilon import epsilon_lower_bound, one_run_bound
from kerasburst.privacy.lessons import Pools, place, roles
from kerasburst.privacy.matching import AT, Snapshots, matched_difference
from kerasburst.privacy.metrics import MembershipScores
from kerasburst.privacy.result import MAIN_ATTACK, CanaryResult, CurvePoint, Epsilon, Interval, Matched, ReferencesPoint
from kerasburst.registry import ATTACKS

# Attacks that need the logits of a snapshot alone, quick enough for every model at every epoch.
CURVE_ATTACKS = ("loss", "lira_online", "lira_shrunk", "rmia", "label_only", "dispersion")
STRONGEST = "strongest"  # for each pair the attack with the highest mean AUC on the other pairs
_FPR = 0.01
_CONFIDENCE = 0.95  # of a bound of epsilon
_GUESSES = (4, 10, 20, 50, 100, 200, 500, 1000)  # of the bound from one run, at most


@dataclasses.dataclass(frozen=True, eq=False)
class PoolModels:
    """One arm's models in one pool that are targets of each other, and what they answered at every snapshot.

    Args:
        membership: which audited point is a member of which model, bool `(N, n)`.
        pairs: number of each model's pair, `(N,)`; a model without a partner is a pair of its own.
        labels: of the audited points `(n,)`, the population `(m,)` and the canaries `(c,)`.
        epochs: of the snapshots, `(S,)`.
        audited: logits `(S, N, n, K, C)`.
        population: logits `(S, N, m, K, C)`.
        canaries: logits of the shadows, the last models, `(S, N', c, K, C)`.
        canary_members: which canary is a member of which shadow, bool `(N', c)`.
        test_accuracies: `(S, N)`.
    """

    membership: np.ndarray
    pairs: np.ndarray
    labels: tuple[np.ndarray, np.ndarray, np.ndarray]
    epochs: np.ndarray
    audited: np.ndarray
    population: np.ndarray
    canaries: np.ndarray
    canary_members: np.ndarray
    test_accuracies: np.ndarray

    @classmethod
    def load(cls, folder: Path, pools: Pools, pool: int) -> PoolModels | None:
        """Load an arm's folder of an audit; None where its models were not asked at any epoch."""
        splits = pools[pool]
        names = [role for role in roles(pools) if place(role)[0] == pool and place(role)[1] in ("target", "shadow")]
        found, masks, pairs = [], [], []
        for role in names:
            path = folder / "signals" / f"{role}-snapshots.npz"
            if not path.exists():
                if place(role)[1] == "shadow":
                    return None
                continue  # the target of an audited run was trained elsewhere
            with np.load(path, allow_pickle=False) as stored:
                found.append({name: stored[name] for name in stored.files})
            _, kind, number = place(role)
            masks.append(splits.targets[number] if kind == "target" else splits.shadows[number])
            pairs.append(number // 2 if kind == "shadow" else -1 - number)
        with np.load(folder / "signals" / f"{names[-1]}.npz", allow_pickle=False) as stored:
            labels = stored["labels"]
        snapshots = max(len(each["epochs"]) for each in found)
        for each in found:  # one that has stopped before answers as at its end
            for name in ("logits", "test_accuracies"):
                left = snapshots - len(each["epochs"])
                each[name] = np.concatenate([each[name], np.repeat(each[name][-1:], left, axis=0)])
        n, m, c = len(splits.audited), len(splits.population), len(splits.canaries)
        parts = (slice(0, n), slice(n, n + m), slice(n + m, n + m + c))
        audited, population = (np.stack([each["logits"][:, part] for each in found], axis=1) for part in parts[:2])
        shadows = found[-len(splits.shadows) :]
        return cls(
            membership=np.array(masks),
            pairs=np.array(pairs),
            labels=tuple(labels[part] for part in parts),
            epochs=max((each["epochs"] for each in found), key=len),
            audited=audited,
            population=population,
            canaries=np.stack([each["logits"][:, parts[2]] for each in shadows], axis=1),
            canary_members=splits.canary_members,
            test_accuracies=np.stack([each["test_accuracies"] for each in found], axis=1),
        )

    def evidence(self, snapshot: int, seed: int = 0, without: int | None = None) -> Iterator[Evidence]:
        """Yield what the attacker of each model knows at a snapshot; `without` leaves a pair out altogether."""
        rows = np.flatnonzero(self.pairs != without)
        audited, population = ([each[row] for row in rows] for each in self._answers[snapshot])
        population = population if len(self.labels[1]) else ()
        return every_target(audited, self.labels[0], self.membership[rows], population, self.labels[1], seed)

    @functools.cached_property
    def _answers(self) -> list[tuple[list[Answers], list[Answers]]]:
        """The models' answers about audited points and population at each snapshot."""
        return [
            ([_answers(logits) for logits in audited], [_answers(logits) for logits in population])
            for audited, population in zip(self.audited, self.population, strict=True)
        ]

    def canary_evidence(self, snapshot: int, seed: int = 0) -> Iterator[Evidence]:
        """Yield the same about the canaries, for each of the shadows."""
        own = self.population[snapshot, -len(self.canary_members) :]
        population = [_answers(logits) for logits in own] if len(self.labels[1]) else ()
        answers = [_answers(logits) for logits in self.canaries[snapshot]]
        return every_target(answers, self.labels[2], self.canary_members, population, self.labels[1], seed)

    def member_accuracies(self) -> np.ndarray:
        """Return each model's accuracy on its audited members, `(S, N)`."""
        right = (self.audited.argmax(-1) == self.labels[0][:, None]).mean(-1)
        return np.stack([right[:, i, mask].mean(-1) for i, mask in enumerate(self.membership)], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class ArmModels:
    """One arm's models in all pools.

    Args:
        pools: one for each pool, with the same snapshots.
    """

    pools: tuple[PoolModels, ...]

    @classmethod
    def load(cls, folder: Path, pools: Pools) -> ArmModels | None:
        """Load an arm's folder of an audit; None where its models were not asked at any epoch."""
        found = [PoolModels.load(folder, pools, pool) for pool in range(len(pools))]
        return None if None in found or len(pools[0].shadows) < 4 else cls(tuple(found))

    @property
    def units(self) -> np.ndarray:
        """Pool and pair of each model, `(models, 2)`."""
        return np.array([(p, pair) for p, pool in enumerate(self.pools) for pair in pool.pairs])

    def curve(self, seed: int = 0) -> ArmCurve:
        """Attack every model at every snapshot."""
        names = curve_attacks(self)
        aucs, tprs, left_out = ({name: [] for name in names} for _ in range(3))
        for snapshot in range(len(self.pools[0].epochs)):
            scores = [(pool.membership, _scores(pool.evidence(snapshot, seed), names)) for pool in self.pools]
            without = self._without(snapshot, names, seed)
            for name in names:
                targets = [target for masks, each in scores for target in target_scores(each[name], masks)]
                aucs[name].append([target.auc() for target in targets])
                tprs[name].append(tpr_over_targets(targets, _FPR))
                left_out[name].append(without[name])
        return ArmCurve(
            epochs=self.pools[0].epochs,
            units=self.units,
            test_accuracies=np.concatenate([pool.test_accuracies for pool in self.pools], axis=1),
            member_accuracies=np.concatenate([pool.member_accuracies() for pool in self.pools], axis=1),
            aucs={name: np.array(values) for name, values in aucs.items()},
            tprs=tprs,
            without={name: np.array(rows) for name, rows in left_out.items() if rows[0] is not None},
            queries=self.pools[0].audited.shape[3],
        )

    def cross_scores(self, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each pair which points its first model trained on, and the scores of all models but the pair's.

        The pair is not among the references of the others: an attack computes with what its references trained on.

        Yields:
            bool `(n,)`, and the main attack's scores at the last snapshot `(models, n)`; those of the attack on the
            loss, which needs no references, where too few would be left.
        """
        for pool in self.pools:
            for pair in np.unique(pool.pairs):
                others = pool.pairs != pair
                enough = (np.unique(pool.pairs[others], return_counts=True)[1] == 2).sum() >= 2  # pairs of references
                name, without = (MAIN_ATTACK["audit"], pair) if enough else ("loss", None)
                scores = _scores(pool.evidence(-1, seed, without), [name])[name]
                scores = scores if enough else scores[others]
                yield pool.membership[pool.pairs == pair][0], scores

    def _without(self, snapshot: int, names: Sequence[str], seed: int) -> dict[str, list[float] | None]:
        """Return for each pair the mean AUC of the others of its pool, which then share no reference with it.

        None for a pool that would have too few references, and for 3 or more pools, whose spread needs none.
        """
        if len(self.pools) > 2 or any(len(np.unique(pool.pairs)) < 4 for pool in self.pools):
            return dict.fromkeys(names)
        found: dict[str, list[float]] = {name: [] for name in names}
        for pool in self.pools:
            for pair in np.unique(pool.pairs):
                scores = _scores(pool.evidence(snapshot, seed, without=pair), names)
                masks = pool.membership[pool.pairs != pair]
                for name in names:
                    aucs = [target.auc() for target in target_scores(scores[name], masks)]
                    found[name].append(float(np.mean(aucs)))
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class ArmCurve:
    """What the attacks found on one arm's models, model by model.

    Args:
        epochs: of the snapshots, `(S,)`.
        units: pool and pair of each model, `(M, 2)`.
        test_accuracies: `(S, M)`.
        member_accuracies: `(S, M)`.
        aucs: by attack, `(S, M)`.
        tprs: at a FPR of 1 %, by attack: for each snapshot `(M,)`, None if not resolvable.
        without: by attack: mean AUC of the others where a pair is left out, `(S, pairs)`; absent if not computed.
        queries: K.
    """

    epochs: np.ndarray
    units: np.ndarray
    test_accuracies: np.ndarray
    member_accuracies: np.ndarray
    aucs: dict[str, np.ndarray]
    tprs: dict[str, list[np.ndarray | None]]
    without: dict[str, np.ndarray]
    queries: int

    @property
    def attacks(self) -> tuple[str, ...]:
        """Names of the attacks, the strongest first."""
        return STRONGEST, *self.aucs

    @functools.cached_property
    def choices(self) -> np.ndarray:
        """Number of the attack that is strongest on the other pairs, for each pair at each snapshot, `(S, pairs)`."""
        aucs, pairs = np.stack(list(self.aucs.values())), self.pair_of_model
        others = [aucs[:, :, pairs != pair].mean(axis=-1) for pair in range(pairs.max() + 1)]
        return np.argmax(others, axis=1).T

    @functools.cached_property
    def pair_of_model(self) -> np.ndarray:
        """Number of each model's pair, counted over all pools, `(M,)`."""
        return np.unique(self.units, axis=0, return_inverse=True)[1].ravel()

    def _series(self, name: str) -> dict[str, np.ndarray]:
        """Return figures by attack, with those of the strongest: of models `(S, M)`, or `without` pairs `(S, Q)`."""
        by_attack = getattr(self, name)
        if not by_attack:
            return {}
        choices = self.choices if name == "without" else self.choices[:, self.pair_of_model]
        chosen = np.take_along_axis(np.stack(list(by_attack.values())), choices[None], axis=0)[0]
        return {STRONGEST: chosen, **by_attack}

    def snapshots(self, attack: str) -> Snapshots:
        """Return an attack's AUCs and the accuracies, as `matched_difference` takes them."""
        without = self._series("without").get(attack)
        return Snapshots(
            self.test_accuracies.T,
            self._series("aucs")[attack].T,
            self.member_accuracies.T,
            None if without is None else without.T,
        )

    def points(self) -> tuple[CurvePoint, ...]:
        """Return the means with their intervals."""
        found, aucs, left_out = [], self._series("aucs"), self._series("without")
        names = list(self.aucs)
        for s, epoch in enumerate(self.epochs):
            tprs = {name: rows[s] for name, rows in self.tprs.items()}
            if tprs and all(values is not None for values in tprs.values()):
                choices = self.choices[s, self.pair_of_model][None]
                tprs = {STRONGEST: np.take_along_axis(np.stack(list(tprs.values())), choices, axis=0)[0], **tprs}
            found.append(
                CurvePoint(
                    epoch=int(epoch),
                    test_accuracy=float(self.test_accuracies[s].mean()),
                    test_accuracy_interval=interval_over_units(self.test_accuracies[s], self.units),
                    member_accuracy=float(self.member_accuracies[s].mean()),
                    queries=self.queries,
                    models=len(self.units),
                    auc={name: float(values[s].mean()) for name, values in aucs.items()},
                    auc_interval={
                        name: interval_over_units(values[s], self.units, left_out[name][s] if left_out else None)
                        for name, values in aucs.items()
                    },
                    tpr_at_1_fpr={
                        name: None if values is None else float(values.mean()) for name, values in tprs.items()
                    },
                    strongest=names[int(np.bincount(self.choices[s]).argmax())],
                )
            )
        return tuple(found)


def curve_attacks(models: ArmModels) -> list[str]:
    """Return the attacks that run on every model at every epoch."""
    evidence = next(models.pools[0].evidence(-1))
    return [name for name in CURVE_ATTACKS if ATTACKS[name].applies(evidence)]


def canary_result(models: ArmModels, seed: int = 0) -> CanaryResult | None:
    """Attack the canaries of every shadow at the last snapshot; None without canaries."""
    count = len(models.pools[0].labels[2])
    if not count:
        return None
    names = curve_attacks(models)
    units, known, aucs = [], [], {name: [] for name in names}
    for p, pool in enumerate(models.pools):
        pairs = pool.pairs[-len(pool.canary_members) :]
        for evidence, mask, pair in zip(pool.canary_evidence(-1, seed), pool.canary_members, pairs, strict=True):
            units.append((p, pair))
            right = (evidence.target.logits.argmax(-1) == evidence.labels[:, None]).mean(1)
            known.append((right[mask].mean(), right[~mask].mean()))
            for name in names:
                aucs[name].append(MembershipScores.from_labels(ATTACKS[name].score(evidence), mask).auc())
    units, known = np.array(units), np.array(known)
    rise = interval_over_units(known[:, 0] - known[:, 1], units, ends=(-1.0, 1.0))
    intervals = {name: interval_over_units(np.array(values), units) for name, values in aucs.items()}
    learnt = rise is not None and rise[0] > 0
    return CanaryResult(
        canaries=count,
        known_by_members=float(known[:, 0].mean()),
        known_by_others=float(known[:, 1].mean()),
        learnt=learnt,
        auc={name: float(np.mean(values)) for name, values in aucs.items()},
        auc_interval=intervals,
        blind=tuple(name for name, i in intervals.items() if learnt and (i is None or i[0] <= 0.5)),
    )


def auc_by_references(models: ArmModels, seed: int = 0) -> tuple[ReferencesPoint, ...]:
    """Attack every model at the last snapshot with 2, 4, 8, ... and all of its references that come in pairs."""
    names = [name for name in curve_attacks(models) if not ATTACKS[name].threshold]
    most = min(int((pool.pairs >= 0).sum()) for pool in models.pools) - 2
    sizes = sorted({*(2**k for k in range(1, most.bit_length()) if 2**k <= most), most})
    aucs: dict[int, dict[str, list[float]]] = {size: {name: [] for name in names} for size in sizes}
    for pool in models.pools:
        for evidence, mask in zip(pool.evidence(-1, seed), pool.membership, strict=True):
            for size in sizes:
                few = dataclasses.replace(
                    evidence,
                    shadows=evidence.shadows[-size:],
                    membership=evidence.membership[-size:],
                    population_shadows=evidence.population_shadows[-size:],
                )
                for name in names:
                    auc = MembershipScores.from_labels(ATTACKS[name].score(few), mask).auc()
                    aucs[size][name].append(auc)
    return tuple(
        ReferencesPoint(
            references=size,
            auc={name: float(np.mean(values)) for name, values in of.items()},
            auc_interval={name: interval_over_units(np.array(values), models.units) for name, values in of.items()},
        )
        for size, of in aucs.items()
    )


def epsilon_bounds(
    models: ArmModels, curve: ArmCurve, flips: bool, seed: int = 0, delta: float = 0.0
) -> tuple[Epsilon, ...]:
    """Bound epsilon from below by target 0; the other models choose attack, threshold and guesses. None without it.

    Args:
        models: of the arm.
        curve: of `models`.
        flips: whether the first model's members were chosen by independent flips.
        seed: of what an attack draws.
        delta: of the privacy that the bounds are for.
    """
    pool = models.pools[0]
    if pool.pairs[0] >= 0:
        return ()  # a shadow: its partner's membership is its own, turned round
    attack = list(curve.aucs)[curve.choices[-1, curve.pair_of_model[0]]]
    scores = _scores(pool.evidence(-1, seed), [attack])[attack]
    others = target_scores(scores[1:], pool.membership[1:])
    pooled = MembershipScores(
        np.concatenate([each.member_scores for each in others]),
        np.concatenate([each.non_member_scores for each in others]),
    )
    judged = MembershipScores.from_labels(scores[0], pool.membership[0])
    found = [epsilon_lower_bound(judged, pooled, confidence=_CONFIDENCE, delta=delta)]
    if flips:
        sizes = [r for r in _GUESSES if r <= len(scores[0])]
        rest = list(zip(scores[1:], pool.membership[1:], strict=True))
        gains = [
            np.mean([one_run_bound(row, mask, guesses=r, delta=delta).epsilon for row, mask in rest]) for r in sizes
        ]
        guesses = sizes[int(np.argmax(gains))]
        found.append(one_run_bound(scores[0], pool.membership[0], guesses=guesses, confidence=_CONFIDENCE, delta=delta))
    return tuple(Epsilon(attack=attack, **dataclasses.asdict(bound)) for bound in found)


def interval_over_units(
    values: np.ndarray, units: np.ndarray, without: np.ndarray | None = None, ends: Interval = (0.0, 1.0)
) -> Interval | None:
    """Return the 95 % interval of a mean over models, whose unit is the pool or the pair; None for too few of these.

    Args:
        values: of each model, `(M,)`.
        units: pool and pair of each model, `(M, 2)`.
        without: for each pair, the mean over the others with the pair left out, as `hierarchical_interval` takes it.
        ends: the least and the largest value that the figure can have.
    """
    pools, pairs = units.T
    if len(np.unique(pools)) < 3 and min(len(np.unique(pairs[pools == pool])) for pool in pools) < 2:
        return None
    found = hierarchical_interval(values, pools, pairs, without)
    return max(found.low, ends[0]), min(found.high, ends[1])


def match(curves: dict[str, ArmCurve]) -> tuple[Matched, ...]:
    """Compare each two arms, by each attack, at equal test accuracy and at an equal gap to the members."""
    found = []
    for (first, one), (second, other) in itertools.combinations(curves.items(), 2):
        pools, pairs = one.units.T
        for attack, at in itertools.product([name for name in one.attacks if name in other.attacks], AT):
            each = matched_difference(one.snapshots(attack), other.snapshots(attack), at=at, pools=pools, pairs=pairs)
            figures = {name: getattr(each, name) for name in ("difference", "interval", "verdict", "common")}
            found.append(Matched(first=first, second=second, at=at, attack=attack, **figures))
    return tuple(found)


def _answers(logits: np.ndarray) -> Answers:
    return Answers(logits, logits, None)


def _scores(evidence: Iterator[Evidence], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return each attack's scores of every target, `(N, n)`."""
    found = [{name: ATTACKS[name].score(each) for name in names} for each in evidence]
    return {name: np.stack([each[name] for each in found]) for name in names}
