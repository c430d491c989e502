import numpy as np
import pytest

from kerasburst import InputError
from kerasburst.privacy.splits import AuditSplits, draw_audit_splits, part_pool

X = np.arange(200)[:, None]
POOL, TEST = np.arange(160), np.arange(160, 200)


def draw(**given):
    options = {"seed": 0, "members": 30, "shadows": 6, "population": 20, "targets": 3} | given
    return draw_audit_splits(X, POOL, TEST, **options)


def test_parts_are_disjoint_and_of_the_sizes_asked_for():
    splits = draw()
    parts = [splits.audited, splits.population, splits.shadow_pool, splits.test]
    assert [len(part) for part in parts] == [60, 20, 80, 40]
    assert len(np.unique(np.concatenate(parts))) == 200
    for t in range(3):
        assert len(splits.members(t)) == len(splits.non_members(t)) == 30
        assert not set(splits.members(t)) & set(splits.non_members(t))


def test_each_point_is_in_half_of_the_shadows_which_have_the_targets_size():
    splits = draw()
    assert (splits.shadows.sum(axis=0) == 3).all()
    assert all(len(splits.shadow_train(j)) == 30 for j in range(6))
    assert len(np.unique(splits.shadows, axis=0)) == 6


def test_targets_are_drawn_independently_of_the_shadows():
    # Were a target one of the pool's complementary halves, its row would be determined by the others.
    agreement = [(draw(seed=s).targets[0] == draw(seed=s).shadows[j]).mean() for s in range(30) for j in range(6)]
    assert abs(np.mean(agreement) - 0.5) < 0.02  # its standard error is about 0.005
    assert max(abs(np.array(agreement) - 0.5)) < 0.35


def test_more_models_change_no_other():
    few, many = draw(), draw(targets=5, shadows=10)
    assert np.array_equal(few.targets, many.targets[:3]) and np.array_equal(few.shadows, many.shadows[:6])
    assert not np.array_equal(draw(seed=1).audited, few.audited)
    assert np.array_equal(draw().targets, few.targets)


def test_canaries_are_points_of_their_own_that_half_of_the_shadows_train_on():
    splits, without = draw(canaries=12), draw()
    assert len(splits.canaries) == 12 and splits.canary_members.shape == (6, 12)
    assert (splits.canary_members.sum(axis=1) == 6).all() and (splits.canary_members.sum(axis=0) == 3).all()
    assert set(splits.canaries) <= set(without.shadow_pool) - set(splits.shadow_pool)
    for shadow in range(6):
        own = splits.canaries[splits.canary_members[shadow]]
        assert splits.shadow_train(shadow).tolist() == [*without.shadow_train(shadow), *own]
    assert np.array_equal(splits.target_train(0), without.target_train(0))
    assert len(draw(canaries=None).canaries) == 8  # a twentieth of 30 members, at least 8
    with pytest.raises(InputError, match="canaries 82"):
        draw(canaries=82)


def test_pools_share_no_point_and_no_value():
    x = np.concatenate([X[:80], X[:80], X[160:]])
    pools = part_pool(x, POOL, 3, seed=0)
    assert [len(pool) for pool in pools] == [26, 26, 26]
    assert len(np.unique(x[np.concatenate(pools)])) == 78
    assert part_pool(x, POOL, 1, seed=0)[0].tolist() == POOL.tolist()


def test_exact_duplicates_are_removed():
    x = np.concatenate([X[:80], X[:80], X[160:]])
    splits = draw_audit_splits(x, POOL, TEST, seed=0, members=10, shadows=2, population=5)
    assert splits.duplicates_removed == 80
    used = np.concatenate([splits.audited, splits.population, splits.shadow_pool])
    assert len(used) == 80 and len(np.unique(x[used])) == 80


def test_the_papers_shadow_has_data_of_its_own():
    splits = draw(protocol="paper", population=None)
    assert splits.shadows.shape == (1, 60) and splits.overlap(0, 0) == 0
    assert np.isin(splits.reference, splits.shadow_pool).all() and len(splits.shadow_train(0)) == 30


def test_the_overlapping_mode_overlaps_and_counts_it():
    splits = draw(protocol="paper-overlapping", population=None)
    expected = len(set(splits.members(0)) & set(splits.shadow_train(0)))
    assert splits.overlap(0, 0) == expected > 5


def test_round_trip(tmp_path):
    splits = draw()
    splits.save(tmp_path / "splits.npz")
    loaded = AuditSplits.load(tmp_path / "splits.npz")
    assert loaded.counts() == splits.counts()
    assert np.array_equal(loaded.shadows, splits.shadows) and np.array_equal(loaded.audited, splits.audited)
    with pytest.raises(ValueError, match="read-only"):
        loaded.audited[0] = 1


@pytest.mark.parametrize("value", [np.array("x"), np.array(np.nan), np.zeros((3, 3, 3)), np.array(2.5)], ids=str)
@pytest.mark.parametrize("field", ["pool_size", "targets", "audited"])
def test_fields_of_another_type_are_one_line(field, value, tmp_path):
    path = tmp_path / "splits.npz"
    draw().save(path)
    with np.load(path) as stored:
        np.savez(path, **dict(stored) | {field: value})
    with pytest.raises(InputError, match=f"^{path}: [^\n]*$"):
        AuditSplits.load(path)


def parts(**given):
    fields = {
        "audited": [0, 1, 2, 3],
        "shadow_pool": [4, 5, 6, 7],
        "population": [8],
        "test": [9],
        "targets": [[True, True, False, False]],
        "reference": [0, 1, 2, 3],
        "shadows": [[True, False, True, False]],
        "fillers": [[4]],
        "pool_size": 10,
    }
    return AuditSplits(**fields | given)


def test_fitting_parts_are_taken():
    assert parts().shadow_train(0).tolist() == [0, 2, 4]
    assert parts().target_train(0).tolist() == parts().members(0).tolist() == [0, 1]


def test_what_only_the_target_trains_on():
    splits = parts(target_only=[10, 11], pool_size=12)
    assert splits.members(0).tolist() == [0, 1] and splits.target_train(0).tolist() == [0, 1, 10, 11]
    assert splits.overlap(0, 0) == 1
    with pytest.raises(ValueError, match="read-only"):
        splits.target_only[0] = 1


def test_a_file_without_it_still_loads(tmp_path):
    parts().save(tmp_path / "splits.npz")
    with np.load(tmp_path / "splits.npz") as stored:
        later = ("target_only", "canaries", "canary_members")
        arrays = {name: stored[name] for name in stored.files if name not in later}
    np.savez(tmp_path / "old.npz", **arrays)
    assert AuditSplits.load(tmp_path / "old.npz").target_train(0).tolist() == [0, 1]
    np.savez(tmp_path / "less.npz", **{name: value for name, value in arrays.items() if name != "fillers"})
    with pytest.raises(InputError, match="fillers missing"):
        AuditSplits.load(tmp_path / "less.npz")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"population": [3]}, "audited and population must be without a common or repeated index, received 3"),
        ({"test": [8]}, "population and test"),
        ({"shadow_pool": [4, 4, 5]}, "shadow_pool must be without"),
        ({"test": [10]}, "indices from 0 to 9"),
        ({"reference": [0, 1, 2, 8]}, "reference must be the audited points or points of the shadow pool"),
        ({"fillers": [[9]]}, "fillers must be points of the shadow pool outside reference"),
        ({"targets": [[True, False]]}, r"targets must be of shape \(models, 4\)"),
        ({"fillers": [[4], [5]]}, r"fillers must be of shape \(1, count\)"),
        ({"fillers": [[4, 4]]}, "fillers must be different examples for each shadow"),
        ({"target_only": [3]}, "audited and target_only must be without a common or repeated index, received 3"),
        ({"target_only": [5]}, "shadow_pool and target_only"),
        ({"target_only": [8]}, "population and target_only"),
        ({"target_only": [9]}, "test and target_only"),
    ],
)
def test_parts_that_do_not_fit_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        parts(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"members": 80}, "members must be fewer, at most 70: 180 distinct .* has 160 beside 40 test examples"),
        ({"members": 80, "canaries": None}, "at most 66: 180 distinct examples are needed"),  # beside 8 canaries
        ({"members": 80, "protocol": "paper", "population": 0}, "at most 40: 320 distinct examples are needed"),
        ({"population": 155}, "members must be fewer, and population or canaries, too: 215 distinct"),
        ({"shadows": 7}, "shadows must be even"),
        ({"members": 3}, "members must be an integer of at least 4"),
        ({"protocol": "audits"}, "protocol must be one of audit, paper, paper-overlapping.*did you mean audit"),
        ({"targets": 0}, "targets must be an integer from 1 to 10000"),
        ({"targets": 2 * 10**9}, "targets must be an integer from 1 to 10000"),
    ],
)
def test_bad_arguments(given, message):
    with pytest.raises(InputError, match=message):
        draw(**given)


def test_flips_deal_each_points_membership_by_itself():
    x = np.arange(2000)[:, None]
    drawn = [draw_audit_splits(x, range(2000), [], seed=s, members=300, shadows=4, flips=True) for s in range(30)]
    sizes = [int(splits.targets[0].sum()) for splits in drawn]
    # Binomial(600, 1/2): standard deviation 12.25; halves would have none.
    assert np.std(sizes) == pytest.approx(12.25, rel=0.4) and np.mean(sizes) == pytest.approx(300, abs=9)
    assert all(splits.shadows.sum(axis=1).tolist() == [300] * 4 for splits in drawn)


@pytest.mark.parametrize("protocol, least", [("audit", 12), ("paper", 20)])
def test_a_pool_without_members_by_default_says_how_large_it_must_be(protocol, least):
    x = np.arange(least)[:, None]
    draw_audit_splits(x, np.arange(least), np.arange(0), seed=0, protocol=protocol)
    with pytest.raises(InputError, match=f"at least {least} distinct examples .*received {least - 1} beside 0 test"):
        draw_audit_splits(x[1:], np.arange(least - 1), np.arange(0), seed=0, protocol=protocol)
