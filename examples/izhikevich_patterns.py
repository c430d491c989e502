"""Draw the five firing patterns of Izhikevich 2003: one layer, five neurons, one constant current.

Run: python examples/izhikevich_patterns.py [picture.png]
"""

import sys

import matplotlib

matplotlib.use("Agg")
import kerasburst as kb
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

PATTERNS = {  # a, b, c, d
    "regular spiking": (0.02, 0.2, -65.0, 8.0),
    "intrinsically bursting": (0.02, 0.2, -55.0, 4.0),
    "chattering": (0.02, 0.2, -50.0, 2.0),
    "fast spiking": (0.1, 0.2, -65.0, 2.0),
    "low-threshold spiking": (0.02, 0.25, -65.0, 2.0),
}


def main(picture: str = "izhikevich.png") -> dict[str, int]:
    """Draw the picture and return each pattern's number of spikes in 300 ms."""
    a, b, c, d = np.array(list(PATTERNS.values())).T
    current = np.where(np.arange(300) >= 20, 15.0, 0.0)
    spk, mem = kb.Izhikevich(a, b, c, d, return_mem=True)(np.tile(current[None, :, None], (1, 1, 5)).astype("float32"))
    spk, mem = ops.convert_to_numpy(spk)[0], ops.convert_to_numpy(mem)[0]
    figure, axes = plt.subplots(len(PATTERNS), sharex=True, figsize=(8, 8), layout="constrained")
    for number, (name, axis) in enumerate(zip(PATTERNS, axes, strict=True)):
        axis.plot(mem[:, number], color="#1f4e79", linewidth=1)
        axis.set_title(f"{name}: {int(spk[:, number].sum())} spikes", loc="left", fontsize=10)
        axis.set_ylim(-95, 40)
        axis.set_yticks([-80, -40, 0])
        axis.axvline(20, color="0.7", linewidth=1, linestyle=":")
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].set_ylabel("membrane (mV)")
    axes[-1].set_xlabel("time (ms); the current of 15 begins at 20 ms")
    figure.savefig(picture, dpi=80)
    plt.close(figure)
    return dict(zip(PATTERNS, spk.sum(0).astype(int).tolist(), strict=True))


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
