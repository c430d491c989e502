"""Uses of the public faces that a type checker must accept; it is checked by mypy and never run."""

from pathlib import Path

import kerasburst as kb


def train_and_audit(out: Path) -> float:
    config: kb.TrainConfig = kb.TrainConfig(dataset="iris", encoding="poisson_burst", encoder={"mean_burst_size": 2.0})
    result: kb.TrainResult | None = kb.train(config, out / "run")
    assert result is not None
    accuracy: float = result.test_accuracy
    audit: kb.AuditResult = kb.audit(kb.AuditConfig(train=config, encodings=("rate",)), out / "audit", jobs=2)
    valid: bool = audit.valid
    return accuracy if valid else 0.0


def studies(out: Path) -> None:
    transfer: kb.TransferResult = kb.transfer(kb.TransferConfig(train=kb.TrainConfig()), out / "transfer")
    profile: kb.ProfileResult = kb.profile(kb.ProfileConfig(train=kb.TrainConfig()), out / "profile")
    names: list[str] = [*transfer.encodings, *profile.encodings]
    kb.register("encoder", "mine", kb.RateEncoder)
    print(names)
