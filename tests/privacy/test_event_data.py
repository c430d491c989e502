"""Audits of event data: what is attacked over time, and a leak that only time shows."""

from pathlib import Path

import numpy as np
import pytest

from kerasburst.config import TrainConfig
from kerasburst.data.datasets import load_source
from kerasburst.privacy import lessons, shadow
from kerasburst.privacy.audit import audit
from kerasburst.privacy.config import AuditConfig
from tests.privacy.common import RUN_FLEET, FleetHere, Pretend

TEMPORAL = {"temporal_lira", "temporal_svm", "membranes"}


class LeakInTheMiddle(Pretend):
    """Models whose phi at the last step tells nothing, and at one step in the middle tells members."""

    def work(self, task):
        super().work(task)
        folder, encoding, role = (task.arguments[name] for name in ("folder", "encoding", "role"))
        path = Path(folder, encoding, "signals", f"{role}.npz")
        config, _ = shadow.load_plan(folder)
        source = load_source(config.train.dataset, **config.train.reading([encoding]))
        lesson = lessons.lesson(role, lessons.load_pools(Path(folder)), source.y, source.num_classes, config.train.seed)
        with np.load(path) as stored:
            arrays = dict(stored)
        member = np.isin(lesson.asked, lesson.train)
        if role not in ("planted", "untrained"):
            arrays["phi_trace"][:, :, 2] += 4.0 * member[:, None]
        np.savez(path, **arrays)


@pytest.mark.thorough
def test_an_attack_that_uses_time_finds_on_events_what_the_others_miss(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.privacy.common.load_source", lambda name: load_source(name, spikes=True, num_steps=5))
    monkeypatch.setattr(RUN_FLEET, LeakInTheMiddle(leak=0.0))
    train = TrainConfig(dataset="moving_digits", encoding="none", num_steps=5, epochs=1, network={"hidden_units": 4})
    config = AuditConfig(train=train, encodings=("none",), members=40, population=20, shadows=8, queries=(1,))
    result = audit(config, tmp_path / "a")
    aucs = {attack.name: attack.auc for attack in result.encodings["none"].attacks}
    assert aucs["temporal_lira"] > 0.85 and abs(aucs["lira_online"] - 0.5) < 0.2, aucs


@pytest.mark.thorough
def test_real_models_of_events_are_asked_over_time(tmp_path, monkeypatch):
    monkeypatch.setattr(RUN_FLEET, FleetHere())
    train = TrainConfig(
        dataset="moving_digits", num_steps=4, epochs=1, model="SNNFCNet", network={"hidden_units": 4}, train_limit=200
    )
    config = AuditConfig(train=train, encodings=("none",), members=8, population=4, shadows=4, queries=(1,), canaries=0)
    result = audit(config, tmp_path / "a")
    assert TEMPORAL <= {attack.name for attack in result.encodings["none"].attacks}
