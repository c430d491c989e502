"""Process a spike stream in pieces: each call starts from the membrane that the last one returned.

Run: python examples/stream_events.py
"""

import numpy as np
import tensorflow as tf

import kerasburst as kb


def main() -> float:
    """Run 20 steps at once and in four pieces; return the largest difference between the membranes."""
    encoder = kb.DelayedBurstEncoder(num_steps=20, seed=1)
    spikes = encoder(tf.random.stateless_uniform((1, 5), seed=(0, 1)))
    current = 0.4 * spikes

    whole, mem = kb.LIF(return_mem=True)(current)
    piecewise = kb.LIF(return_mem=True, return_state=True)
    state, pieces = tf.zeros((1, 5)), []
    for start in range(0, 20, 5):
        _, piece, state = piecewise(current[:, start : start + 5], initial_state=state)
        pieces.append(piece)
    difference = float(np.abs(tf.concat(pieces, axis=1) - mem).max())
    print(f"{int(tf.reduce_sum(whole))} output spikes; largest difference of the membranes: {difference}")
    return difference


if __name__ == "__main__":
    main()
