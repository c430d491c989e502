"""Fixed bursts, bursts trained for accuracy, and bursts trained against an attacker: a table of finished audits.

Each argument is the directory of an audit of the same arms with another seed; docs/trained.md has the commands. Printed
for each arm: accuracy, AUC of the strongest attack at the end, input firing rate, energy estimate per example and what
the first target's encoder learnt; then the differences at equal accuracy and at an equal gap, of each audit and their
mean. Audits whose controls failed are named and left out.

Run: python benchmarks/trained_bursts.py runs/trained-bursts-*
"""

import argparse
from pathlib import Path

import numpy as np

import kerasburst as kb
from kerasburst import files, records
from kerasburst.config import TrainConfig
from kerasburst.intervals import seed_interval
from kerasburst.models.saving import load_model
from kerasburst.privacy.arms import folder_name
from kerasburst.privacy.result import AuditResult

EXAMPLES = 200  # of the test part, for the operations


def measure(folder, arm):
    """Return an arm's input firing rate, energy estimate in joules per example, and what its encoder learnt."""
    place = Path(folder) / folder_name(arm) / "models"
    network = load_model(place / "target-0.keras")
    training = records.from_json(TrainConfig, files.read_json(Path(folder) / "plan.json")["trainings"][arm], arm)
    encoder = network.encoder or training.make_encoder()
    network = network if network.encoder is None else network.with_encoder(None)
    x = kb.load_dataset(training.dataset, data_dir=training.data_dir, seed=training.seed).x_test[:EXAMPLES]
    cost = kb.network_cost(network, x, encoder=encoder)
    rates = files.read_json(place / "target-0.json")["firing_rates"]
    learnt = encoder.summary() if getattr(encoder, "is_trained", False) else None
    return rates["input"], cost.energy_estimate_j_per_sample, learnt


def mean_differences(audits):
    """Return the mean over audits of each difference of two arms' strongest attacks, with its 95 % interval.

    Returns:
        By first arm, second arm and what is equal: mean, low, high; the mean alone where one audit knows it.
    """
    found = {}
    for audit in audits:
        for each in audit.matched:
            if each.attack == "strongest" and each.difference is not None:
                found.setdefault((each.first, each.second, each.at), []).append(each.difference)
    return {pair: seed_interval(values) if len(values) > 1 else tuple(values) for pair, values in found.items()}


def main(folders):
    """Print the tables, and return the rows of the first."""
    found = {folder: records.load(AuditResult, Path(folder) / "audit.json") for folder in folders}
    audits = {folder: audit for folder, audit in found.items() if audit.valid}
    rows = []
    for folder, audit in audits.items():
        for curve in audit.curves:
            point = audit.curves[curve][-1]
            rate, energy, learnt = measure(folder, curve)
            auc = point.auc["strongest"]
            rows.append((curve, Path(folder).name, point.test_accuracy, auc, rate, energy, learnt))
            print(f"{curve}  {rows[-1][1]}: accuracy {point.test_accuracy:.3f}, AUC {auc:.3f}, "
                  f"input rate {rate:.4f}, energy estimate {energy:.3g} J, learnt {learnt}")  # fmt: skip
    for arm in dict.fromkeys(row[0] for row in rows):
        values = np.array([row[2:6] for row in rows if row[0] == arm])
        print(
            f"{arm}, mean of {len(values)}: accuracy, AUC, input rate, J =", *(f"{v:.4g}" for v in values.mean(axis=0))
        )
    for folder, audit in audits.items():
        for each in audit.matched:
            if each.attack == "strongest":
                print(f"{Path(folder).name}: {each.first} - {each.second} at equal {each.at}: {each.difference} "
                      f"{each.interval} {each.verdict}")  # fmt: skip
    for (first, second, at), values in mean_differences(audits.values()).items():
        print(f"mean: {first} - {second} at equal {at}:", *(f"{value:.4f}" for value in values))
    for folder in found.keys() - audits.keys():
        print(f"{Path(folder).name} is left out: its controls failed")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    main(parser.parse_args().folders)
