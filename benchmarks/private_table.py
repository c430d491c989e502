"""Do bursts help a private network or cost it: accuracy, attack AUC and lower bound of epsilon, by encoder and epsilon.

For each seed one audit holds every encoder at every epsilon and without privacy, on the same members. Audits that are
in --out are resumed: the command can be stopped and given again, with more --seeds, too. Then the table is printed.

Run: KERAS_BACKEND=jax python benchmarks/private_table.py --data-dir DIR --out runs/private --seeds 3
"""

import argparse
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")

import kerasburst as kb  # noqa: E402
from kerasburst import records  # noqa: E402
from kerasburst.intervals import seed_interval  # noqa: E402
from kerasburst.privacy.arms import parse_arm  # noqa: E402
from kerasburst.privacy.reading import failed_controls  # noqa: E402
from kerasburst.privacy.result import AuditResult  # noqa: E402


def arm_name(encoding, epsilon):
    """Return the arm of an encoder at an epsilon; None is without privacy."""
    return encoding if epsilon is None else f"private:epsilon={epsilon:g},encoding={encoding}"


def audit_config(options, seed):
    """Return the audit of one seed."""
    train = kb.TrainConfig(
        dataset=options.dataset,
        data_dir=options.data_dir,
        model=options.model,
        network={} if options.hidden_units is None else {"hidden_units": options.hidden_units},
        num_steps=options.num_steps,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        clipping_norm=options.clip,
        seed=seed,
    )
    names = [arm_name(encoding, epsilon) for encoding in options.encodings for epsilon in (*options.epsilons, None)]
    return kb.AuditConfig(
        train=train,
        encodings=(),
        arms=tuple(map(parse_arm, names)),
        members=options.members,
        shadows=options.shadows,
        queries=(1, 4),
        flips=True,
    )


def row(audits, name):
    """Return what the seeds say of an arm: accuracies, AUCs, the largest lower bounds, and the certified epsilon."""
    accuracies, aucs, bounds, certified = [], [], [], None
    for audit in audits:
        if failed_controls(records.to_json(audit), name):
            continue
        found, point = audit.encodings[name], audit.curves[name][-1]
        accuracies.append(found.test_accuracy)
        aucs.append(point.auc["strongest"])
        bounds.append(max(bound.epsilon for bound in found.epsilon))
        certified = found.certified_epsilon
    return accuracies, aucs, bounds, certified


def shown(values, scale=1.0, digits=3):
    """Return a mean with its 95 % interval over seeds."""
    if not values:
        return "–"
    mean = f"{scale * np.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    low, high = seed_interval(values, ends=(0.0, 1.0))[1:]
    return f"{mean} ({scale * low:.{digits}f} to {scale * high:.{digits}f})"


def main(arguments=None):
    """Run what is missing and print the table; return the audits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--model")
    parser.add_argument("--hidden-units", type=int)
    parser.add_argument("--encodings", nargs="+", default=["rate", "poisson_burst", "delayed_burst"])
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0, 3.0, 8.0])
    parser.add_argument("--members", type=int, default=2000)
    parser.add_argument("--shadows", type=int, default=4)
    parser.add_argument("--num-steps", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=0.002)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args(arguments)
    audits = []
    for seed in range(options.seeds):
        out = Path(options.out, f"seed-{seed}")
        if not (out / "audit.json").exists():
            kb.audit(audit_config(options, seed), out, resume=True, jobs=options.jobs)
        audits.append(records.load(AuditResult, out / "audit.json"))
    print("| encoder | epsilon | test accuracy, % | AUC, strongest attack | epsilon, lower bound | seeds |")
    print("|---|---|---|---|---|---|")
    for encoding in options.encodings:
        for epsilon in (*options.epsilons, None):
            accuracies, aucs, bounds, certified = row(audits, arm_name(encoding, epsilon))
            print(
                f"| {encoding} | {'none' if certified is None else f'{certified:g}'} | {shown(accuracies, 100, 1)} | "
                f"{shown(aucs)} | {'–' if not bounds else f'{max(bounds):.2f}'} | {len(accuracies)} of {len(audits)} |"
            )
    return audits


if __name__ == "__main__":
    main()
