"""Train from Python, as `kerasburst train` does, and print the results.

Run: python examples/train_from_python.py
"""

import tempfile

import kerasburst as kb


def main(epochs: int = 60, num_steps: int = 10) -> dict[str, float]:
    """Train with each encoding on breast_cancer and return the accuracies."""
    accuracy = {}
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ("rate", "poisson_burst", "delayed_burst"):
            config = kb.TrainConfig(
                dataset="breast_cancer", encoding=encoding, epochs=epochs, num_steps=num_steps, queries=16
            )
            result = kb.train(config, f"{folder}/{encoding}")
            low, high = result.test_accuracy_interval
            print(
                f"{encoding:<14} {result.test_accuracy:.3f} ({low:.3f} to {high:.3f}), "
                f"mean of 16 logits {result.test_accuracy_of_mean_logits:.3f}, "
                f"input rate {result.firing_rates['input']:.3f}"
            )
            accuracy[encoding] = result.test_accuracy
    return accuracy


if __name__ == "__main__":
    main()
