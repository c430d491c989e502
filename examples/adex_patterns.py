"""Draw five firing patterns of the adaptive exponential neuron, with the parameters of Naud et al. 2008.

Run: python examples/adex_patterns.py [picture.png]
"""

import sys

import matplotlib

matplotlib.use("Agg")
import kerasburst as kb
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

# pF, nS, mV, nS, ms, pA, mV, and the constant current in pA; v_threshold is -50 mV and delta 2 mV in all
NAMES = ("capacitance", "g_leak", "e_leak", "a", "tau_w", "b", "v_reset", "input_offset")
PATTERNS = {
    "tonic spiking": (200.0, 10.0, -70.0, 2.0, 30.0, 0.0, -58.0, 500.0),
    "adaptation": (200.0, 12.0, -70.0, 2.0, 300.0, 60.0, -58.0, 500.0),
    "initial burst": (130.0, 18.0, -58.0, 4.0, 150.0, 120.0, -50.0, 400.0),
    "regular bursting": (200.0, 10.0, -58.0, 2.0, 120.0, 100.0, -46.0, 210.0),
    "accelerating": (200.0, 12.0, -70.0, -10.0, 300.0, 0.0, -58.0, 300.0),
}


def simulate(name: str, num_steps: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes and the membrane of a pattern, one step a ms, in mV."""
    values = dict(zip(NAMES, PATTERNS[name], strict=True))
    neuron = kb.AdEx(**values, v_threshold=-50.0, delta=2.0, sub_steps=10, return_mem=True)
    spk, mem = neuron(np.zeros((1, num_steps, 1), "float32"))
    return ops.convert_to_numpy(spk)[0, :, 0], ops.convert_to_numpy(mem)[0, :, 0]


def main(picture: str = "adex.png") -> dict[str, list[int]]:
    """Draw the picture and return the times of each pattern's spikes in ms."""
    figure, axes = plt.subplots(len(PATTERNS), sharex=True, figsize=(8, 8), layout="constrained")
    times = {}
    for name, axis in zip(PATTERNS, axes, strict=True):
        spk, mem = simulate(name)
        times[name] = np.flatnonzero(spk).tolist()
        axis.plot(mem, color="#1f4e79", linewidth=1)
        axis.set_title(f"{name}: {len(times[name])} spikes", loc="left", fontsize=10)
        axis.set_ylim(-85, 30)
        axis.set_yticks([-80, -40, 0])
        axis.spines[["top", "right"]].set_visible(False)
    axes[2].set_ylabel("membrane (mV)")
    axes[-1].set_xlabel("time (ms), under a constant current of 210 to 500 pA")
    figure.savefig(picture, dpi=80)
    plt.close(figure)
    return times


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
