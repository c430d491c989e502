"""Write small data sets of events in the layouts in which people have them; nothing here comes from kerasburst."""

import struct

import h5py
import numpy as np


def events(seed=0, count=40, width=34, height=34, until=300_000):
    """Return random events in order."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, until, count))
    return {
        "t": t,
        "x": rng.integers(0, width, count),
        "y": rng.integers(0, height, count),
        "p": rng.integers(0, 2, count),
    }


def write_bin(path, recording):
    """Write N-MNIST's 40 bits: x, y, p and 23 bits of t; a row 240 where the clock runs over, every 2**13 us."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytearray()
    for t, x, y, p in zip(*(recording[name] for name in "txyp"), strict=True):
        content += struct.pack(">BBBH", int(x), int(y), int(p) << 7 | int(t) >> 16, int(t) & 0xFFFF)
    path.write_bytes(bytes(content))


def write_nmnist(folder, train=2, test=1, classes=10):
    """Write Train/0/00001.bin ... Test/9/...; return every recording by its path."""
    found = {}
    for part, count in (("Train", train), ("Test", test)):
        for label in range(classes):
            for number in range(count):
                path = folder / part / str(label) / f"{number:05}.bin"
                found[path] = events(seed=100 * label + number)
                write_bin(path, found[path])
    return found


def write_shd(path, labels, units=700, seed=0, names=None):
    """Write spikes/times in seconds (float16 as published), spikes/units, labels, extra/keys, extra/speaker."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [np.sort(rng.uniform(0, 0.8, 30)).astype(np.float16) for _ in labels]
    channels = [rng.integers(0, units, 30).astype(np.uint16) for _ in labels]
    with h5py.File(path, "w") as file:
        for key, rows, kind in (("times", times, np.float16), ("units", channels, np.uint16)):
            column = file.create_dataset(f"spikes/{key}", (len(labels),), h5py.vlen_dtype(kind))
            for i, row in enumerate(rows):
                column[i] = row
        file["labels"] = np.array(labels, np.uint16)
        file["extra/keys"] = np.array(names or [f"word {i}" for i in range(max(labels) + 1)], "S10")
        file["extra/speaker"] = np.zeros(len(labels), np.uint16)
    return times, channels


def aedat3(recordings, packet=16):
    """Return an AEDAT 3.1 file of events, in packets of polarity events with one of another kind between."""
    content = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    t, x, y, p = (np.asarray(recordings[name]) for name in "txyp")
    for start in range(0, len(t), packet):
        part = slice(start, start + packet)
        size = len(t[part])
        content += struct.pack("<HHIIIIII", 1, 1, 8, 4, 0, size, size, size)
        for i in range(start, start + size):
            content += struct.pack("<II", int(x[i]) << 17 | int(y[i]) << 2 | int(p[i]) << 1 | 1, int(t[i]))
        content += struct.pack("<HHIIIIII", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)  # a special event
    return content


def write_flat(path, recordings, labels, **more):
    """Write all events behind each other, with their lengths and labels, as .h5 or .npz."""
    arrays = {name: np.concatenate([each[name] for each in recordings]) for name in recordings[0]}
    arrays |= {"lengths": np.array([len(each["t"]) for each in recordings]), "labels": np.array(labels), **more}
    arrays = {name: array for name, array in arrays.items() if array.dtype != object}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
