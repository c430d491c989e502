"""`AuditSplits`: which point is a member of which model; its parts cannot overlap."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasburst.data.readers import load_npz
from kerasburst.files import replacing
from kerasburst.seeding import derive_seed
from kerasburst.validation import MOST, InputError, check_choice, check_int, fail, one_line

PROTOCOLS = ("audit", "paper", "paper-overlapping")

_PARTS = ("audited", "shadow_pool", "population", "test", "target_only", "canaries")
_ARRAYS = (*_PARTS, "targets", "reference", "shadows", "fillers", "canary_members")
_LATER = {"target_only", "canaries", "canary_members"}  # which files of earlier versions lack
LARGEST_DEFAULT = 1000  # audited members, and population
_LEAST_CANARIES = 8
_SHARES = {3: "third", 5: "fifth"}


@dataclass(frozen=True, eq=False)
class AuditSplits:
    """Disjoint parts of a pool, and the membership of their points in target and shadow models.

    Args:
        audited: indices of the audited points, n; each is a member or a non-member of each target.
        shadow_pool: indices that only shadow models may train on.
        population: indices that no model trains on, for RMIA.
        test: indices for the accuracy; in no model's training set.
        targets: membership of the audited points, bool `(targets, n)`.
        reference: indices of the points that `shadows` is about, r: `audited` itself, or points
            of `shadow_pool`.
        shadows: membership of the reference points, bool `(N, r)`.
        fillers: indices from `shadow_pool` that each shadow also trains on, `(N, f)`.
        pool_size: number of examples in the pool.
        duplicates_removed: examples left out because they equal another.
        target_only: indices that each target trains on beyond its audited members; no other model does.
        canaries: indices of points that shadows train on with a wrong label, c; they are not audited.
        canary_members: which shadow trains on which canary, bool `(N, c)`.

    Raises:
        InputError: for parts that overlap, or arrays that do not fit each other.

    Example:
        >>> x = np.arange(40)[:, None]
        >>> splits = draw_audit_splits(x, range(40), [], seed=0, members=5, shadows=4, population=3)
        >>> len(splits.members(0)), len(splits.non_members(0)), splits.shadows.sum(axis=0).tolist()
        (5, 5, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """

    audited: np.ndarray
    shadow_pool: np.ndarray
    population: np.ndarray
    test: np.ndarray
    targets: np.ndarray
    reference: np.ndarray
    shadows: np.ndarray
    fillers: np.ndarray
    pool_size: int
    duplicates_removed: int = 0
    target_only: np.ndarray = ()
    canaries: np.ndarray = ()
    canary_members: np.ndarray = ()

    def __post_init__(self) -> None:
        """Check the arrays and make them read-only."""
        for name in _ARRAYS:
            kind = bool if name in ("targets", "shadows", "canary_members") else np.int64
            array = np.asarray(getattr(self, name))
            if array.size and array.dtype.kind not in ("b" if kind is bool else "iu"):
                raise fail(name, "booleans" if kind is bool else "integers", f"the type {array.dtype}")
            array = np.array(array, kind)
            if name == "canary_members" and not len(self.canaries):
                array = np.zeros((len(self.shadows), 0), bool)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        joined = np.concatenate([getattr(self, part) for part in _PARTS])
        if joined.size and (joined.min() < 0 or joined.max() >= self.pool_size):
            raise fail("audit splits", f"indices from 0 to {self.pool_size - 1}", int(joined.max()))
        values, counts = np.unique(joined, return_counts=True)
        if (counts > 1).any():
            twice = values[counts > 1][0]
            places = [part for part in _PARTS if twice in getattr(self, part)]
            raise fail(" and ".join(places), "without a common or repeated index", int(twice))
        if not (np.array_equal(self.reference, self.audited) or np.isin(self.reference, self.shadow_pool).all()):
            raise InputError("reference must be the audited points or points of the shadow pool, it is neither")
        if not np.isin(self.fillers, np.setdiff1d(self.shadow_pool, self.reference)).all():
            raise InputError("fillers must be points of the shadow pool outside reference, some are not")
        for name, points in (("targets", self.audited), ("shadows", self.reference)):
            mask = getattr(self, name)
            if mask.ndim != 2 or mask.shape[1] != len(points):
                raise fail(name, f"of shape (models, {len(points)})", mask.shape)
        if self.canary_members.shape != (len(self.shadows), len(self.canaries)):
            raise fail("canary_members", f"of shape (shadows, {len(self.canaries)})", self.canary_members.shape)
        if self.fillers.shape[:1] != self.shadows.shape[:1]:
            raise fail("fillers", f"of shape ({len(self.shadows)}, count)", self.fillers.shape)
        if any(len(np.unique(row)) < len(row) for row in self.fillers):
            raise InputError("fillers must be different examples for each shadow, some are repeated")

    def members(self, target: int) -> np.ndarray:
        """Return the audited indices that the target trains on, int64."""
        return self.audited[self.targets[target]]

    def non_members(self, target: int) -> np.ndarray:
        """Return the audited indices that the target does not train on, int64."""
        return self.audited[~self.targets[target]]

    def target_train(self, target: int) -> np.ndarray:
        """Return all indices that the target trains on, its audited members first, int64."""
        return np.concatenate([self.members(target), self.target_only])

    def shadow_train(self, shadow: int) -> np.ndarray:
        """Return the indices that a shadow trains on, int64."""
        own = self.canaries[self.canary_members[shadow]]
        return np.concatenate([self.reference[self.shadows[shadow]], self.fillers[shadow], own])

    def overlap(self, target: int, shadow: int) -> int:
        """Count the examples that a target and a shadow both train on."""
        return len(np.intersect1d(self.target_train(target), self.shadow_train(shadow)))

    def counts(self) -> dict[str, int]:
        """Return the sizes of the parts."""
        return {
            "pool": self.pool_size,
            "duplicates_removed": self.duplicates_removed,
            "audited": len(self.audited),
            "members": int(self.targets[0].sum()),
            "non_members": int((~self.targets[0]).sum()),
            "target_train": len(self.target_train(0)),
            "shadow_train": len(self.shadow_train(0)) if len(self.shadows) else 0,
            **{part: len(getattr(self, part)) for part in _PARTS if part != "audited"},
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over all parts and who trains on what."""
        digest = hashlib.sha256(repr(self.pool_size).encode())
        for name in _ARRAYS:
            array = np.asarray(getattr(self, name))
            digest.update(f"|{name} {array.shape}|".encode() + array.astype("<i8").tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write to `path` (`.npz`), atomically."""
        sizes = {"pool_size": np.int64(self.pool_size), "duplicates_removed": np.int64(self.duplicates_removed)}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **{name: getattr(self, name) for name in _ARRAYS}, **sizes)

    @classmethod
    def load(cls, path: str | Path) -> AuditSplits:
        """Load what `save` wrote.

        Raises:
            InputError: if the file is missing, damaged, or not a file of audit splits.
        """
        numbers = ("pool_size", "duplicates_removed")
        names = (*_ARRAYS, *numbers)

        def choose(keys):
            if missing := set(names) - set(keys) - _LATER:
                raise InputError(f"{path} is no file of audit splits: {', '.join(sorted(missing))} missing")
            return tuple(name for name in names if name in keys)

        arrays = load_npz(Path(path), choose)
        try:
            return cls(**{k: int(v) if k in numbers else v for k, v in arrays.items()})
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: {one_line(error)}") from None


def draw_audit_splits(
    x: np.ndarray,
    pool: np.ndarray,
    test: np.ndarray,
    *,
    seed: int,
    protocol: str = "audit",
    members: int | None = None,
    targets: int = 1,
    shadows: int = 8,
    population: int | None = None,
    canaries: int | None = 0,
    flips: bool = False,
) -> AuditSplits:
    """Draw members, non-members, shadow pool and population at random from one pool.

    Exact duplicates are removed first. A target trains on a random half of the audited points, drawn independently of
    the shadows. Shadows come in pairs with complementary halves, so each point is in the training set of half of them.

    Args:
        x: all examples, raw, `(pool_size, *features)`.
        pool: indices to draw from.
        test: indices for the accuracy.
        seed: int of at least 0.
        protocol: "audit"; "paper": one shadow with its own data; "paper-overlapping": one shadow with
            data from the target's points, as in the authors' earlier code.
        members: size of a target's training set, at least 4; None for a third of the pool (a fifth for "paper"), at
            most 1,000.
        targets: number of targets, at least 1.
        shadows: N, even, at least 2; ignored by the paper's protocols, which have one.
        population: None for a fifth of the pool, at most 1,000; none in the paper's protocols.
        canaries: points that shadows train on with a wrong label, half of them each; even. None for a twentieth of the
            members, 8 to 64, or what is left of the pool; none in the paper's protocols.
        flips: whether each audited point is a member of a target by a fair flip of its own; the sizes of training sets
            then vary about `members`. Otherwise half of the points are.

    Raises:
        InputError: for an argument outside its range, or a pool that is too small.
    """
    seed = check_int("seed", seed, low=0)
    check_choice("protocol", protocol, PROTOCOLS)
    targets = check_int("targets", targets, low=1, high=MOST)
    pool = np.asarray(pool, np.int64)
    unique = pool[_first_of_equals(np.asarray(x)[pool])]
    if protocol == "audit":
        shadows = check_shadows(shadows)
        default_members, default_population = len(unique) // 3, min(LARGEST_DEFAULT, len(unique) // 5)
    else:
        shadows, default_members, default_population = 1, len(unique) // 5, 0
    if members is None and default_members < 4:
        share = 3 if protocol == "audit" else 5
        raise InputError(
            f"the data must have at least {4 * share} distinct examples to draw from, of which a {_SHARES[share]} are "
            f"members, received {len(unique)} beside {len(test)} test examples"
        )
    members = check_int("members", min(LARGEST_DEFAULT, default_members) if members is None else members, low=4)
    population = check_int("population", default_population if population is None else population, low=0)
    reference_size = 2 * members if protocol == "paper" else 0
    spare = len(unique) - 2 * members - population - reference_size
    least_canaries = _LEAST_CANARIES if canaries is None and protocol == "audit" else 0
    if protocol != "audit":
        canaries = 0
    elif canaries is None:
        canaries = default_canaries(members, spare)
    canaries = check_int("canaries", canaries, low=0)
    needed = 2 * members + population + reference_size + canaries
    if needed > len(unique):
        most = (len(unique) - population - max(canaries, least_canaries)) // (4 if reference_size else 2)
        allowed = f"at most {most}" if most >= 4 else "and population or canaries, too"
        raise InputError(
            f"members must be fewer, {allowed}: {needed} distinct examples are needed (audited {2 * members}, "
            f"population {population}, shadow {reference_size}, canaries {canaries}), the pool has {len(unique)} "
            f"beside {len(test)} test examples"
        )
    order = np.random.default_rng(derive_seed(seed, "audit", "parts")).permutation(unique)
    audited, population_part, rest = np.split(order, [2 * members, 2 * members + population])
    reference = rest[:reference_size] if protocol == "paper" else audited
    # Target t and shadow pair j each have a stream: adding models does not change the others.
    deal = _flips if flips else _half
    target_masks = [deal(len(audited), derive_seed(seed, "audit", "target", t)) for t in range(targets)]
    if protocol == "audit":
        shadow_masks = complementary_halves(len(reference), shadows, seed)
    else:
        shadow_masks = [_half(len(reference), derive_seed(seed, "audit", "shadow", 0))]
    rest, canary_part = np.split(rest, [len(rest) - canaries])
    return AuditSplits(
        audited=audited,
        shadow_pool=rest,
        population=population_part,
        test=np.asarray(test, np.int64),
        targets=np.array(target_masks),
        reference=reference,
        shadows=np.array(shadow_masks),
        fillers=np.empty((len(shadow_masks), 0)),
        pool_size=len(x),
        duplicates_removed=len(pool) - len(unique),
        canaries=canary_part,
        canary_members=canary_halves(canaries, len(shadow_masks), seed),
    )


def default_canaries(members: int, spare: int) -> int:
    """Return how many canaries an audit has by default: a twentieth of the members, 8 to 64, even, at most `spare`.

    Example:
        >>> default_canaries(1000, 9000), default_canaries(100, 9000), default_canaries(100, 5)
        (50, 8, 4)
    """
    return max(0, min(max(_LEAST_CANARIES, min(64, members // 20)), spare)) // 2 * 2


def canary_halves(canaries: int, shadows: int, seed: int) -> np.ndarray:
    """Return which shadow trains on which canary, bool `(N, c)`: complementary random halves for each pair."""
    if not canaries:
        return np.zeros((shadows, 0), bool)
    halves = [_half(canaries, derive_seed(seed, "audit", "canary", j)) for j in range(shadows // 2)]
    return np.array([mask for half in halves for mask in (half, ~half)])


def part_pool(x: np.ndarray, pool: np.ndarray, pools: int, seed: int) -> list[np.ndarray]:
    """Return the pool in disjoint random parts of equal size, without an example that equals another of another part.

    Args:
        x: all examples, raw.
        pool: indices.
        pools: number of parts, at least 1; one is the pool itself.
        seed: int of at least 0.
    """
    pool = np.asarray(pool, np.int64)
    if pools == 1:
        return [pool]
    unique = pool[_first_of_equals(np.asarray(x)[pool])]
    order = np.random.default_rng(derive_seed(seed, "audit", "pools")).permutation(unique)
    return np.array_split(order[: len(order) // pools * pools], pools)


def half_of(x: np.ndarray, indices: np.ndarray, half: int | None) -> np.ndarray:
    """Return the indices whose examples are in one half of the data; examples that are equal are in the same half.

    Args:
        x: all examples, raw.
        indices: to choose from.
        half: 0 or 1; None for all indices.
    """
    indices = np.asarray(indices, np.int64)
    if half is None or not len(indices):
        return indices
    first_bytes = digests(np.asarray(x)[indices]).view(np.uint8).reshape(len(indices), -1)[:, 0]
    return indices[first_bytes % 2 == half]


def check_shadows(shadows: int) -> int:
    """Check a number of shadows: even and at least 2."""
    shadows = check_int("shadows", shadows, low=2, high=MOST)
    if shadows % 2:
        raise fail("shadows", "even, so that each point is in half of them", shadows)
    return shadows


def complementary_halves(n: int, shadows: int, seed: int) -> list[np.ndarray]:
    """Return the shadows' membership of n points, in pairs of complementary random halves."""
    halves = [_half(n, derive_seed(seed, "audit", "shadow", j)) for j in range(shadows // 2)]
    return [mask for half in halves for mask in (half, ~half)]


def digests(x: np.ndarray) -> np.ndarray:
    """Return each example's hash `(n,)`: examples are equal byte by byte if their hashes are."""
    return np.array([hashlib.blake2b(example.tobytes(), digest_size=16).digest() for example in x], "S16")


def _half(n: int, seed: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[np.random.default_rng(seed).permutation(n)[: n // 2]] = True
    return mask


def _flips(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < 0.5


def _first_of_equals(x: np.ndarray) -> np.ndarray:
    """Return the positions of examples without an equal before them."""
    _, first = np.unique(digests(x), return_index=True)
    return np.sort(first)
