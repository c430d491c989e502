"""`kerasburst train` as a function: train, look at the figures, evaluate over more encodings.

Run: python examples/train_from_python.py
"""

import tempfile

import kerasburst as kb


def main(epochs: int = 60) -> dict[str, float]:
    """Train each encoding on breast_cancer; give the accuracy of each."""
    accuracy = {}
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ("rate", "poisson_burst", "delayed_burst"):
            out = f"{folder}/{encoding}"
            config = kb.TrainConfig(dataset="breast_cancer", encoding=encoding, epochs=epochs, seed=0)
            result = kb.train(config, out)
            evaluation = kb.evaluate(out, queries=16)
            low, high = evaluation.accuracy_interval
            print(
                f"{encoding:<14} {evaluation.accuracy:.3f} ({low:.3f} to {high:.3f}), "
                f"mean of 16 logits {evaluation.accuracy_of_mean_logits:.3f}, "
                f"input rate {result.firing_rates['input']:.3f}"
            )
            accuracy[encoding] = evaluation.accuracy
    return accuracy


if __name__ == "__main__":
    main()
