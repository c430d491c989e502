"""How much can any network get out of one encoding? A bound for tables of few features.

For each data set the encoding's likelihood is known exactly, so that the best decision from what one draw (or
K draws) shows can be computed without any network: the class whose training examples, each with its exact
likelihood, explain the draw best. That is the Bayes rule under the training set's distribution; a network trained
on the same examples can beat it only by chance or by knowing more than the training set.

Run: python benchmarks/single_draw_limit.py
"""

import argparse

import numpy as np
from scipy import special, stats

from kerasburst import load_dataset


def delayed_burst(x_train, x_test, num_steps, margin, mean_burst_size, silence, draws, rng):
    """Draw onsets for `x_test`; give log P(draw | training example), `(draws, test, train)`."""
    quiet = stats.poisson.pmf(0, mean_burst_size)

    def stop(x):
        return 1 / (1 + (1 - x) * (num_steps - margin))  # of the geometric onset

    d = np.arange(num_steps)[:, None, None]
    speaks = x_train > silence
    seen = speaks * stop(x_train) * (1 - stop(x_train)) ** d * (1 - quiet)  # (T, train, features)
    nothing = 1 - seen.sum(axis=0)
    with np.errstate(divide="ignore"):
        table = np.log(np.maximum(np.concatenate([seen, nothing[None]]), 1e-12))
    onset = rng.geometric(stop(x_test), (draws, *x_test.shape)) - 1
    size = rng.poisson(mean_burst_size, onset.shape)
    symbol = np.where((onset < num_steps) & (size > 0) & (x_test > silence), onset, num_steps)
    return sum(table[symbol[..., f], :, f] for f in range(x_test.shape[1]))


def rate(x_train, x_test, num_steps, draws, rng):
    """The same for Bernoulli rate coding, whose spike count is sufficient."""
    count = rng.binomial(num_steps, x_test, (draws, *x_test.shape))
    p = np.clip(x_train, 0.01, 0.99)
    return sum(stats.binom.logpmf(count[..., f, None], num_steps, p[:, f]) for f in range(x_test.shape[1]))


def accuracy(log_likelihood, y_train, y_test):
    """Share of draws for which the best explained class is the right one."""
    classes = range(int(y_train.max()) + 1)
    score = np.stack([special.logsumexp(log_likelihood[..., y_train == c], axis=-1) for c in classes], axis=-1)
    return float((score.argmax(-1) == y_test).mean())


def bound(dataset, likelihood, queries=1, seeds=5, draws=20, **parameters):
    """Mean accuracy over splits of the best decision from `queries` draws."""
    figures = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        data = load_dataset(dataset, seed=seed)
        x_train, x_test = data.x_train.astype("float64"), data.x_test.astype("float64")
        total = sum(likelihood(x_train, x_test, draws=draws, rng=rng, **parameters) for _ in range(queries))
        figures.append(accuracy(total, data.y_train, data.y_test))
    return float(np.mean(figures))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="iris")
    dataset = parser.parse_args().dataset
    print(f"{dataset}: best accuracy from one draw, mean of 5 splits (from 16 draws in brackets)")
    for steps in (10, 20, 50, 100):
        print(f"T={steps:<4} rate                                      {bound(dataset, rate, num_steps=steps):.3f}")
        rows = {}
        for margin in (0.0, 0.2 * steps, 0.8 * steps):
            for silence in (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6):
                settings = {"num_steps": steps, "margin": margin, "mean_burst_size": 6.0, "silence": silence}
                rows[margin, silence] = bound(dataset, delayed_burst, **settings), settings
        for name, (figure, settings) in (
            ("default", rows[0.8 * steps, 0.0]),
            ("best found", max(rows.values(), key=lambda row: row[0])),
        ):
            many = bound(dataset, delayed_burst, queries=16, **settings)
            text = f"m={settings['margin']:<4g} silence={settings['silence']:<5g} {name}"
            print(f"       delayed_burst {text:<34} {figure:.3f} ({many:.3f})")


if __name__ == "__main__":
    main()
