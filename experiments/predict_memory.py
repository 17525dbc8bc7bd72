"""Peak memory of a prediction, by the number of images.

    python experiments/predict_memory.py 1000
    python experiments/predict_memory.py 10000

Images of 224 pixels are drawn when they are asked for, so that the process holds nothing but what
`predict` needs. The network has two blocks and random weights.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from random_donors import TINY, random_donor

from efn_compose.data import ImageTable
from efn_compose.jobs.predictions.job import PreparedPrediction, write_prediction
from efn_compose.jobs.predictions.networks import find_networks
from efn_compose.train.tta.options import TtaOptions

SIZE = 224


class Drawn:
    """Images by number, drawn from it."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        generator = np.random.default_rng(index)
        return generator.integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def main() -> None:
    """Predict, and print seconds and peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=int)
    parser.add_argument("--views", type=int, default=1)
    options = parser.parse_args()
    table = ImageTable(
        Drawn(options.images), np.full(options.images, -1, np.int32), ("a", "b"), "drawn"
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        random_donor(TINY, 1, name="tiny", classes=2).save(place / "tiny.h5")
        networks = find_networks([str(place / "tiny.h5")], SIZE)
        views = TtaOptions(views="drawn", count=options.views) if options.views > 1 else None
        prepared = PreparedPrediction(
            networks, table, ("a", "b"), place / "table.csv", views, [], None, None, ()
        )
        begun = time.perf_counter()
        write_prediction(prepared)
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.images} images, {options.views} views: {seconds:.0f} s, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
