"""Draw an audit's parts around a training run: members from what it trained on, the rest from what it left untouched.

The run's training part must have been a random part of one pool, stratified or not, as `train_limit` draws it; what
it left of that pool is the rest. Given the class, who is a member is then chance, as in `draw_audit_splits`.
"""

from __future__ import annotations

import numpy as np

from kerasburst.data.sources import Source
from kerasburst.data.splits import Splits
from kerasburst.privacy.splits import LARGEST_DEFAULT, AuditSplits, check_shadows, complementary_halves, digests
from kerasburst.seeding import derive_seed
from kerasburst.validation import InputError, check_int


def draw_run_splits(
    source: Source,
    splits: Splits,
    *,
    seed: int,
    members: int | None = None,
    shadows: int = 8,
    population: int | None = None,
) -> AuditSplits:
    """Draw members, non-members, shadow pool and population for the audit of a run's network.

    Members are some of the run's training examples, non-members as many of the untouched ones, with class counts such
    as a random split of both together would have. Each shadow trains on half of the audited points, in complementary
    pairs, and on fillers out of the shadow pool, drawn anew for each shadow, up to the size of the run's training
    part: the run must have left as many examples untouched as it trained on, and the population.

    An example that has an equal among the run's training, validation and untouched ones is in no part but the
    run's training, if it is there: of examples with copies the members have more than their share, since one copy
    is enough to be a member.

    Args:
        source: the run's data.
        splits: which of it the run trained, validated and tested on. The validation part is in no part of the audit:
            it may have chosen when to stop. Nor are official test examples, even if the run did not test on them.
        seed: int of at least 0.
        members: audited members; None for half of the training part, at most 1,000. At most all of it: but then
            their class counts are the run's own, which stratification keeps from varying by chance.
        shadows: N, even, at least 2.
        population: None for a fifth of the pool, at most 1,000 and at most what the fillers leave, even if it is
            nothing; 0 for none.

    Raises:
        InputError: for an argument outside its range, or a run that leaves too few examples untouched.

    Example:
        >>> source = Source.from_arrays("mine", {"x": np.arange(100.0)[:, None], "y": np.arange(100) % 2})
        >>> splits = draw_run_splits(source, Splits(range(30), [], range(80, 100), pool_size=100), seed=0)
        >>> len(splits.members(0)), len(splits.target_train(0)), len(splits.shadow_train(0)), len(splits.population)
        (15, 30, 30, 16)
    """
    seed = check_int("seed", seed, low=0)
    shadows = check_shadows(shadows)
    untouched = splits.unused
    if source.test_start is not None:
        untouched = untouched[untouched < source.test_start]
    used = np.concatenate([splits.train, splits.validation])
    pool = np.concatenate([used, untouched])
    single = np.zeros(len(source.y), bool)
    single[pool] = _without_equal(source.x[pool])
    own, rest = splits.train[single[splits.train]], untouched[single[untouched]]

    spare = len(rest) - len(splits.train)  # beyond non-members and fillers, which make up a training part
    default_population = min(LARGEST_DEFAULT, (len(own) + len(rest)) // 5)
    wanted = default_population if population is None else check_int("population", population, low=0)
    if spare < (0 if population is None else wanted):
        raise _too_small(source, splits, len(untouched), len(rest), int(single.sum()), population)
    default_members = min(LARGEST_DEFAULT, len(own) // 2)
    members = check_int("members", default_members if members is None else members, low=4, high=len(own))

    rng = np.random.default_rng(derive_seed(seed, "audit", "run"))
    chosen, others = _draw_alike(source.y, own, rest, members, rng)
    order = rng.permutation(2 * members)  # the place of a point says nothing of its side
    audited = np.concatenate([chosen, others])[order]
    population_part, shadow_pool = np.split(rng.permutation(np.setdiff1d(rest, others)), [min(wanted, spare)])
    return AuditSplits(
        audited=audited,
        shadow_pool=shadow_pool,
        population=population_part,
        test=splits.test,
        targets=(order < members)[None],
        reference=audited,
        shadows=np.array(complementary_halves(2 * members, shadows, seed)),
        fillers=_fillers(shadow_pool, len(splits.train) - members, shadows, seed),
        pool_size=len(source.y),
        duplicates_removed=len(splits.train) - len(own) + len(untouched) - len(rest),
        target_only=np.setdiff1d(splits.train, chosen),
    )


def _fillers(shadow_pool: np.ndarray, count: int, shadows: int, seed: int) -> np.ndarray:
    # A stream for each shadow, so that more of them change no other.
    streams = [np.random.default_rng(derive_seed(seed, "audit", "fillers", j)) for j in range(shadows)]
    return np.stack([rng.choice(shadow_pool, count, replace=False) for rng in streams])


def _draw_alike(
    y: np.ndarray, own: np.ndarray, rest: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw members from `own` and non-members from `rest`, `size` of each, of classes drawn from both together.

    The class counts of a stratified part vary less than chance has it, and less for the larger share of it that is
    audited: drawn as they are, or set equal, a classifier's folds would be balanced against each other, and a blind
    baseline would come out below 0.5.
    """
    labels = rng.permutation(y[np.concatenate([own, rest])])
    members, taken = _follow(labels, y, rng.permutation(own), size)
    non_members, _ = _follow(np.roll(labels, -taken), y, rng.permutation(rest), size)
    return members, non_members


def _follow(labels: np.ndarray, y: np.ndarray, candidates: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Take for each label in turn the next candidate that has it, if any is left, until there are `size`.

    Returns:
        the candidates taken, and how many labels that took.
    """
    waiting = {label: iter(candidates[y[candidates] == label]) for label in np.unique(labels)}
    found: list[int] = []
    position = 0
    while len(found) < size:
        candidate = next(waiting[labels[position]], None)
        if candidate is not None:
            found.append(candidate)
        position += 1
    return np.array(found, np.int64), position


def _without_equal(x: np.ndarray) -> np.ndarray:
    """Tell which examples no other one is equal to."""
    _, inverse, counts = np.unique(digests(x), return_inverse=True, return_counts=True)
    return counts[inverse] == 1


def _too_small(
    source: Source, splits: Splits, untouched: int, left: int, distinct: int, population: int | None
) -> InputError:
    """Say what the run leaves, what it takes, and the numbers that would do."""
    size = len(splits.train)
    takes = f"the {size} that it trained on to fill its shadow models"
    if population is not None:
        takes += f", and {population} for the population"
    equal = f" ({untouched - left} more have an equal)" if left < untouched else ""
    ways = []
    if population is not None and left - size >= 2:
        ways.append(f"give --population {left - size} or fewer")
    # All of the pool as it would be split anew; whichever examples have an equal, so many are left for certain.
    share = len(splits.validation) / (size + len(splits.validation))
    kept = min(LARGEST_DEFAULT, distinct // 5) if population is None else population
    limit = int((distinct - kept - 1) / (2 - share))
    if limit >= 2 * source.num_classes:
        ways.append(f"train the run with --train-limit {limit} or fewer")
    ways.append("attack --dataset, which trains its target itself")
    return InputError(
        f"run must leave as many training examples of {source.name} untouched as {takes}, it leaves {left}{equal}: "
        + ", or ".join(ways)
    )
