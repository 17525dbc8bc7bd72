"""Masks of new images from one or many U-Nets, one PNG file for each image."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from efn_compose.assess.overlap import to_masks
from efn_compose.data import ImageTable, load_table
from efn_compose.data.decoding.decode import for_each_image, undecodable
from efn_compose.data.table import ImageError
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.donors.unet import DECODER, decoder_of
from efn_compose.errors import ConfigError, describe_problems
from efn_compose.jobs.predictions.job import views_of
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.settings.build import build
from efn_compose.store import WeightFile, atomic_path, write_text
from efn_compose.store.atomic import check_writable
from efn_compose.store.journal import read_journal
from efn_compose.store.run_folder import CONFIG_FILE, JOURNAL_FILE
from efn_compose.store.weights.weight_file import is_weight_file
from efn_compose.train.tta.options import TtaOptions

#: Images that pass at once.
_BATCH = 16
#: Bytes of an image's name that its mask's has: with a number, and while it is written, at most 255.
_LONGEST_STEM = 200
#: The table of masks, in their folder.
TABLE_FILE = "masks.csv"


@dataclass(frozen=True)
class UNetFile:
    """A trained U-Net.

    Args:
        name: Of its training, or its file.
        file: The weight file.
        size: Pixels of the images it was trained on; 0 where nobody wrote it down.
        tta: Views of its training.
        threshold: That its run chose, None for the most probable class.
    """

    name: str
    file: Path
    size: int
    tta: TtaOptions
    threshold: float | None


@dataclass(frozen=True)
class MaskSummary:
    """What was drawn.

    Args:
        folder: With a PNG file for each image, and `masks.csv`.
        images: Number of images.
        networks: Names of the U-Nets.
        threshold: Of two classes, None for the most probable class.
        foreground: Mean share of pixels that are not background.
        notes: Sentences about thresholds that differ, and about what the source holds beside these
            images.
    """

    folder: Path
    images: int
    networks: tuple[str, ...]
    threshold: float | None
    foreground: float
    notes: tuple[str, ...] = ()


def find_unets(entries: Sequence[str]) -> list[UNetFile]:
    """Return the U-Nets that run folders and weight files name; none where none has a decoder.

    Args:
        entries: Run folders of `efn-compose train --task segment`, and weight files.
    """
    found: list[UNetFile] = []
    for entry in entries:
        path = Path(entry).expanduser()
        if path.is_dir():
            found += _of_run(path)
        elif is_weight_file(path):
            with WeightFile(path) as file:
                if DECODER in file.header.parts:
                    # Of a name without folders the folders above are not in its path.
                    home = path.resolve().parent
                    siblings = _of_run(home) + _of_run(home.parent.parent)
                    outputs = file.header.parts[DECODER].settings.get("outputs", 0)
                    said = TrainedFor.of(file.header.provenance, outputs)
                    found.append(_like(path, siblings, said.size))
    return found


def predict_masks(
    entries: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    data: str,
    output: str | os.PathLike[str],
    *,
    columns: Sequence[str] = (),
    folder: str = "",
    size: int = 0,
    tta: int | None = None,
    threshold: float | None = None,
    on_images: Callable[[int], Any] = lambda count: None,
) -> MaskSummary:
    """Draw a mask for every image of a source, as large as the image.

    The probabilities of several U-Nets, and of all views, are averaged. With two classes a mask is black
    and white; otherwise its values are the classes.

    Args:
        entries: Run folders of `efn-compose train --task segment`, and weight files with a decoder.
        data: Images of any source.
        output: A new folder: a PNG file for each image, and `masks.csv` with the share of foreground.
        columns: As for `load_table`.
        folder: As for `load_table`.
        size: Pixels; 0: what the U-Nets were trained at.
        tta: 1, 2, 4 or 8 views. None: those of the training.
        threshold: Of two classes; None: what the run chose, or the most probable class.
        on_images: Told how many more images are done.

    Raises:
        ConfigError: No U-Nets, or they differ in classes or size; or the folder is not empty.
        DataError: Images cannot be decoded.

    Example:
        >>> predict_masks("runs/isic", "folder:new", "masks").images  # doctest: +SKIP
        120
    """
    if threshold is not None and not 0 < threshold < 1:
        raise ConfigError(f"--threshold must lie between 0 and 1. Received: {threshold:g}.")
    if size and size < 8:
        raise ConfigError(f"--size must be 8 or more. Received: {size}.")
    given = [entries] if isinstance(entries, str | os.PathLike) else entries
    unets = _all_unets([os.fspath(entry) for entry in given])
    chosen_size = _agreed_size(unets, size)
    level, notes = _agreed_threshold(unets, threshold)
    place = Path(output)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"-o {place}: masks go to a new folder, and there is something here.")
    check_writable("-o", place)
    table = load_table(data, columns, folder, needs_labels=False)
    asked = [_Asked(unet, unet.tta if tta is None else views_of(tta)) for unet in unets]
    if len({one.classes for one in asked}) > 1:
        raise ConfigError(
            "The U-Nets differ in classes: "
            + ", ".join(f"{one.name} {one.classes}" for one in asked)
        )
    if threshold is not None and asked[0].classes != 2:
        raise ConfigError(
            f"--threshold divides two classes; these U-Nets tell {asked[0].classes} apart."
        )
    with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as partial:
        shares = _draw(asked, table, chosen_size, level, Path(partial), on_images)
        Path(partial).chmod(0o755)
        os.replace(partial, place)
        # What the context removes at its end.
        Path(partial).mkdir()
    names = tuple(unet.name for unet in unets)
    notes = (*table.notes, *notes)
    return MaskSummary(place, len(shares), names, level, float(np.mean(shares)), notes)


def _draw(
    asked: "Sequence[_Asked]",
    table: ImageTable,
    size: int,
    level: float | None,
    place: Path,
    on_images: Callable[[int], Any],
) -> list[float]:
    """Write all masks and their table into a folder; return the share of foreground of each."""
    rows: list[tuple[str, str, str]] = []
    shares = []
    for numbers, sizes, pixels in _batches(table, size):
        probability = np.mean([one.ask(pixels) for one in asked], axis=0)
        for number, shape, stated in zip(numbers, sizes, probability, strict=True):
            mask = to_masks(_enlarged(stated, shape)[None], level)[0]
            name = _mask_name(number, table.image_name(number))
            _write_mask(place / name, mask * 255 if asked[0].classes == 2 else mask)
            shares.append(float((mask > 0).mean()))
            rows.append((table.image_name(number), name, f"{shares[-1]:.6f}"))
        on_images(len(numbers))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("image", "mask", "foreground"), *rows])
    write_text(place / TABLE_FILE, text.getvalue())
    return shares


def _mask_name(number: int, image: str) -> str:
    """Return the name of an image's mask, no longer than the name of a file may be."""
    stem = Path(image).stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    return f"{number:06}_{stem}.png"


def _all_unets(entries: Sequence[str]) -> list[UNetFile]:
    """Return the U-Nets of all entries; every entry must have one."""
    found = {entry: find_unets([entry]) for entry in entries}
    without = [f"- {entry}" for entry, unets in found.items() if not unets]
    if without or not found:
        raise ConfigError(
            describe_problems(
                "Masks are drawn by U-Nets, and here is none with an ended training.",
                without,
                "Name run folders of `efn-compose train --task segment`, or weight files with a decoder.",
            )
        )
    return [unet for unets in found.values() for unet in unets]


class _Asked:
    """A U-Net in memory, from pixels to probabilities."""

    def __init__(self, unet: UNetFile, tta: TtaOptions) -> None:
        from efn_compose.models.traced_gradients import PIXELS, traced_once
        from efn_compose.train.objectives.backbone import start_backbone
        from efn_compose.train.objectives.segmentation import Segmentation
        from efn_compose.train.options import TrainOptions
        from efn_compose.train.tta import make_views

        donor: Donor = load_donor(unet.file)
        self.name, self.classes = unet.name, decoder_of(donor).outputs
        self._objective = Segmentation(self.classes, TrainOptions())
        model = self._objective.build(donor)
        start_backbone(model, donor)
        self._objective.draw(model, donor, 0)
        self._views, self._merge = make_views(tta), tta.merge
        self._donor = donor
        self._forward = traced_once(lambda x: self._objective.infer(model, x), PIXELS)

    def ask(self, pixels: np.ndarray) -> np.ndarray:
        """Return probabilities (image, height, width, class)."""
        return self._objective.answers(self._logits, pixels, self._views, self._merge)

    def _logits(self, pixels: PixelArray) -> np.ndarray:
        return np.asarray(self._forward(self._donor.preprocess(np.asarray(pixels))), np.float32)


def _of_run(folder: Path) -> list[UNetFile]:
    """Return the trainings of a run that segments; none where it is no such folder."""
    config_file = folder / CONFIG_FILE
    if not config_file.is_file():
        return []
    import tomllib

    tables = tomllib.loads(config_file.read_text(encoding="utf-8"))
    if tables.get("objective", {}).get("kind") != "segment":
        return []
    config, _ = build(TrainConfig, tables, refuses_ignored=False)
    threshold = None
    if (folder / "result.json").is_file():
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        threshold = result["assessment"].get("threshold", {}).get("chosen")
    records = read_journal(folder / JOURNAL_FILE).records
    ended = dict.fromkeys(row["training"] for row in records if row.get("error") is None)
    below = folder / "trainings"
    return [
        UNetFile(
            name,
            (below / name if below.is_dir() else folder) / f"{config.train.keep}.h5",
            config.data.size,
            config.tta,
            threshold,
        )
        for name in ended
    ]


def _like(path: Path, siblings: Sequence[UNetFile], size: int) -> UNetFile:
    """Return a weight file as its training would be asked, where it lies in the folder of one."""
    for one in siblings:
        if one.file.parent.resolve() == path.parent.resolve():
            return UNetFile(one.name, path, one.size, one.tta, one.threshold)
    return UNetFile(path.stem, path, size, TtaOptions(), None)


def _agreed_size(unets: Sequence[UNetFile], size: int) -> int:
    sizes = {size} if size else {unet.size for unet in unets}
    if len(sizes) > 1 or 0 in sizes:
        shown = [f"- {unet.name}: {unet.size or 'not known'}" for unet in unets]
        raise ConfigError(
            describe_problems("Pixels differ or are not known.", shown, "Name them: --size N.")
        )
    return sizes.pop()


def _agreed_threshold(
    unets: Sequence[UNetFile], threshold: float | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return the threshold that was given, or that all runs chose, and a note where they differ."""
    levels = dict.fromkeys(unet.threshold for unet in unets)
    if threshold is not None or len(levels) == 1:
        return (threshold if threshold is not None else next(iter(levels))), ()
    shown = ", ".join("none" if level is None else f"{level:g}" for level in levels)
    return None, (
        f"the U-Nets' runs chose other thresholds ({shown}), so that every pixel gets its most probable "
        "class. --threshold X names one for all",
    )


def _batches(
    table: ImageTable, size: int
) -> Iterator[tuple[list[int], list[tuple[int, int]], np.ndarray]]:
    """Yield numbers, heights and widths, and resized pixels of some images at a time."""
    from PIL import Image

    for start in range(0, len(table), _BATCH):
        numbers = list(range(start, min(start + _BATCH, len(table))))
        try:
            images = [table.images[number] for number in numbers]
        except ImageError:
            # Found at once, with all others that are broken.
            failures = for_each_image(table.images, np.arange(len(table)), lambda n, x: None, False)
            raise undecodable(failures, len(table)) from None
        small = [
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
            for image in images
        ]
        yield numbers, [image.shape[:2] for image in images], np.stack(small)


def _enlarged(probability: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return maps (side, side, class) at the size of their image, bilinear."""
    from PIL import Image

    height, width = shape
    if probability.shape[:2] == (height, width):
        return probability
    maps = [
        np.asarray(
            Image.fromarray(probability[..., n]).resize((width, height), Image.Resampling.BILINEAR)
        )
        for n in range(probability.shape[-1])
    ]
    return np.stack(maps, axis=-1)


def _write_mask(path: Path, mask: np.ndarray) -> None:
    from PIL import Image

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        Image.fromarray(mask.astype(np.uint8)).save(file, format="PNG")
