"""Do bursts help a private network or cost it: accuracy, attack AUC and lower bound of epsilon, by encoder and epsilon.

For each seed one audit holds every encoder at every epsilon and without privacy, on the same members. Audits that are
in --out are resumed: the command can be stopped and given again, with more --seeds, too. Then the table is printed.

Run: KERAS_BACKEND=jax python benchmarks/private_table.py --data-dir DIR --out runs/private --seeds 3
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np  # noqa: E402

import kerasburst as kb  # noqa: E402
from kerasburst import records  # noqa: E402
from kerasburst.intervals import seed_interval  # noqa: E402
from kerasburst.privacy.arms import folder_name, parse_arm  # noqa: E402
from kerasburst.privacy.equal_fit import ArmModels, interval_over_units  # noqa: E402
from kerasburst.privacy.lessons import load_pools  # noqa: E402
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
    """Return what the seeds say of an arm's models at the end.

    Returns:
        (mean, interval over models) of the test accuracy and of the AUC, for each seed; the largest lower bounds; and
        the certified epsilon.
    """
    accuracies, aucs, bounds, certified = [], [], [], None
    for audit in audits:
        if failed_controls(records.to_json(audit), name):
            continue
        found, point = audit.encodings[name], audit.curves[name][-1]
        accuracies.append((point.test_accuracy, point.test_accuracy_interval))
        aucs.append((point.auc["strongest"], point.auc_interval["strongest"]))
        bounds.append(max(bound.epsilon for bound in found.epsilon))
        certified = found.certified_epsilon
    return accuracies, aucs, bounds, certified


def shown(seeds, scale=1.0, digits=3):
    """Return the mean with its 95 % interval over seeds; that over the models of a single seed."""
    if not seeds:
        return "–"
    mean, interval = seeds[0]
    if len(seeds) > 1:
        mean, *interval = seed_interval([each for each, _ in seeds], ends=(0.0, 1.0))
    text = f"{scale * mean:.{digits}f}"
    if interval is None:
        return text
    low, high = (scale * end for end in interval)
    return f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def accuracy_cost(out, encoding, epsilon):
    """Return by how much models of an encoder are more accurate than those of rate coding on the same members.

    Args:
        out: directory of one seed's audit.
        encoding: of the encoder.
        epsilon: of both; None without privacy.

    Returns:
        The mean over models, and its 95 % interval over their pairs.
    """
    pools = load_pools(out)
    ours, rate = (ArmModels.load(out / folder_name(arm_name(each, epsilon)), pools) for each in (encoding, "rate"))
    last = [np.concatenate([pool.test_accuracies[-1] for pool in arm.pools]) for arm in (ours, rate)]
    difference = last[0] - last[1]
    return float(difference.mean()), interval_over_units(difference, ours.units, ends=(-1.0, 1.0))


def main(arguments=None):
    """Run what is missing and print the tables; return the audits."""
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
    print("\nTest accuracy minus that of rate coding at the same epsilon, points, of each seed:")
    for encoding in (each for each in options.encodings if each != "rate" and "rate" in options.encodings):
        for epsilon in (*options.epsilons, None):
            seeds = [accuracy_cost(Path(options.out, f"seed-{seed}"), encoding, epsilon) for seed in range(len(audits))]
            name = "none" if epsilon is None else f"{epsilon:g}"
            print(f"{encoding}, epsilon {name}:", "; ".join(shown([each], 100, 1) for each in seeds))
    return audits


if __name__ == "__main__":
    main()
