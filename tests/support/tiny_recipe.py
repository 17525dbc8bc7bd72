"""A network of two blocks and images of four classes: a training takes seconds, tracing included."""

import time

import numpy as np
from random_donors import TINY, random_donor

from efn_compose.donors import Donor
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import Classification, Trainer, TrainingData, TrainOptions, fit
from efn_compose.train.recipe.trainer import Silent


def tiny_donor(seed: int = 0) -> Donor:
    """Return random weights of the two blocks, without a classifier."""
    return random_donor(TINY, seed, name="tiny", classes=None)


def quarters(count: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images 16 x 16 one quarter of which is bright, and which one it is."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = rng.integers(0, 120, (count, 16, 16, 3))
    for number, label in enumerate(labels):
        y, x = 8 * (label // 2), 8 * (label % 2)
        images[number, y : y + 8, x : x + 8, label % 3] += 110
    return images.astype(np.uint8), labels.astype(np.int32)


def tiny_data(validation: int = 32) -> TrainingData:
    """Return 96 training images and some to validate on."""
    images, labels = quarters()
    return TrainingData(("a", "b", "c", "d"), images, labels, *quarters(validation, seed=1))


class KilledHalfWay(Silent):
    """Interrupts a training at the update after its middle, as Ctrl-C does."""

    def on_update(self, done: int, planned: int, loss: float) -> None:
        if done == planned // 2 + 1:
            raise KeyboardInterrupt


class _Teller:
    """Says each update, and pauses after it."""

    def __init__(self, pause: float) -> None:
        self.pause = pause

    def on_update(self, done: int, planned: int, loss: float) -> None:
        print("update", done, flush=True)
        time.sleep(self.pause)

    def on_epoch(self, history: object) -> None:
        """Ignore it."""

    def on_rates(self, curve: object) -> None:
        """Ignore it."""


def train_to_files(names: list[str], pause: float = 0.0) -> None:
    """Train to NAME.h5 by way of NAME.npz, for each name in turn; say each update."""
    options = TrainOptions(
        epochs=4, batch_size=16, ema=0.9, schedule="two_forward_one_back",
        drop_connect=0.2, head_start="class_means", deterministic=True,
    )  # fmt: skip
    trainer = Trainer(tiny_donor(), Classification(4, options))
    for name in names:
        fitted = fit(
            tiny_donor(), tiny_data(), options, AugmentOptions(rotation=20),
            watcher=_Teller(pause), state_file=f"{name}.npz", trainer=trainer,
        )  # fmt: skip
        fitted.donor.save(f"{name}.h5")
