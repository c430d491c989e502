"""Audit a Keras classifier of your own: query it and its shadow models, then run LiRA and RMIA.

`kerasburst attack` does this for our networks, with controls, every attack and a page. This example uses
the parts of an audit for any Keras model. A serious audit trains each shadow in its own process (`kerasburst.study`).

Run: python examples/audit_your_own_model.py
"""

import kerasburst as kb
import keras
import numpy as np
from kerasburst.privacy.attacks import lira, rmia
from kerasburst.privacy.statistics import phi
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import minmax_scale


def build(seed: int) -> keras.Model:
    """Return a classifier with a random encoder and spiking neurons inside."""
    keras.utils.set_random_seed(seed)
    table = keras.Input((30,))
    spikes = kb.PoissonBurstEncoder(num_steps=10, seed=seed)(table)
    spk = kb.LIF(beta=0.9)(keras.layers.Dense(128)(spikes))
    _, mem = kb.LIF(return_mem=True)(keras.layers.Dense(2)(spk))
    model = keras.Model(table, keras.layers.GlobalAveragePooling1D()(mem))
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main(shadows: int = 8, epochs: int = 60, queries: int = 16) -> dict[str, kb.MembershipScores]:
    """Train a target and its shadows, query each of them, and return the scores of each attack."""
    bunch = load_breast_cancer()
    x, y = minmax_scale(bunch.data).astype("float32"), bunch.target
    rng = np.random.default_rng(0)
    audited, population = np.split(rng.permutation(len(x))[:400], [300])

    def ask(member: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Train on the members; return phi of the audited points and the population, `(n, queries)`."""
        model = build(seed)
        model.fit(x[audited[member]], y[audited[member]], epochs=epochs, batch_size=32, verbose=0)
        # Each query draws fresh encodings: with one query the noise of the encoding would hide the leak.
        answers = (kb.collect_signals(model, x[i], queries=queries, seed=seed) for i in (audited, population))
        return tuple(phi(a.logits, y[i]) for a, i in zip(answers, (audited, population), strict=True))

    def half() -> np.ndarray:
        return rng.permutation(len(audited)) < len(audited) // 2

    member = half()
    target, population_target = ask(member, seed=0)
    pairs = [half() for _ in range(shadows // 2)]
    membership = np.array([mask for one in pairs for mask in (one, ~one)])  # each point is in half of the shadows
    asked = [ask(mask, seed=1 + j) for j, mask in enumerate(membership)]
    shadow, population_shadow = (np.stack(part) for part in zip(*asked, strict=True))

    scores = {
        "lira": lira(target, shadow, membership),
        "lira, offline": lira(target, shadow, membership, online=False),
        "rmia": rmia(target, shadow, membership, population_target, population_shadow),
    }
    found = {name: kb.MembershipScores.from_labels(values, member) for name, values in scores.items()}
    for name, of in found.items():
        low, high = of.auc_interval()
        print(f"{name:<14} AUC {of.auc():.3f} ({low:.3f} to {high:.3f})")
    return found


if __name__ == "__main__":
    main()
