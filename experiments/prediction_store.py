"""Time and memory of a prediction store of 1,000 models, 33,000 rows and 9 classes.

python experiments/prediction_store.py write /tmp/store
python experiments/prediction_store.py read /tmp/store
"""

import argparse
import resource
import time

import numpy as np

from efn_compose.assess.prediction_store import Column, PredictionStore, RowTable, StoreWriter

MODELS, ROWS, CLASSES = 1_000, 33_000, 9


def write(folder: str) -> None:
    """Write the store."""
    numbers = np.arange(ROWS)
    rows = RowTable(
        tuple(f"ISIC_{number:07d}.jpg" for number in numbers),
        tuple(f"P{number // 3}" for number in numbers),
        numbers % CLASSES,
        numbers // 3 % 5,
        tuple("abcdefghi"[:CLASSES]),
    )
    stated = np.random.default_rng(0).random((ROWS, CLASSES)).astype(np.float32)
    stated /= stated.sum(axis=1, keepdims=True)
    begun = time.perf_counter()
    with StoreWriter(folder, rows) as store:
        for number in range(MODELS):
            store.add(Column(f"model{number}"), stated)
    print(f"written in {time.perf_counter() - begun:.1f} s")


def read(folder: str) -> None:
    """Open the store, read one model, and one class of all models."""
    times = [time.perf_counter()]
    store = PredictionStore(folder)
    times.append(time.perf_counter())
    store.probability([777])
    times.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"opened in {times[1] - times[0]:.2f} s, a model read in {times[2] - times[1]:.3f} s")
    print(f"peak memory of the process {peak:.0f} MB")
    begun = time.perf_counter()
    for number in range(MODELS):
        store.logits(number, [4])
    print(f"a class of all models read in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("write", "read"))
    parser.add_argument("folder")
    given = parser.parse_args()
    {"write": write, "read": read}[given.what](given.folder)
