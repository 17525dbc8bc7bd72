"""The images of a pretraining: those to learn from, those that judge, and those that are both."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.data import ImageTable, load_table
from efn_compose.data.decoding.unreadable import Unreadable, skip_unreadable
from efn_compose.data.draw import any_images, draw_images
from efn_compose.data.folding.duplicates import pixel_digests
from efn_compose.data.folding.fold_table import read_fold_table
from efn_compose.data.folding.grouped import assign_groups
from efn_compose.data.pixels import once_if_cached, take
from efn_compose.data.table import UNLABELLED
from efn_compose.errors import ConfigError, DataError, describe_problems, first_of
from efn_compose.jobs.pretraining.options import LabelledOptions, PretrainConfig, UnlabelledOptions
from efn_compose.jobs.pretraining.pair import Pair, find_pair
from efn_compose.numerics.pixel_array import PixelArray, in_parts
from efn_compose.train.examples import TrainingData

#: Images that a message lists.
_LISTED = 10


@dataclass(frozen=True, eq=False)
class Labelled:
    """The images that judge.

    Args:
        images: (image, size, size, 3) uint8 RGB; in memory or in the cache.
        labels: (image,) int32.
        class_names: One per class.
        judges: (image,) bool, the images of the fold that judges; None: halves are drawn.
        patients: (image,) patient numbers, of which no half has a part; None where there are none.
    """

    images: PixelArray
    labels: np.ndarray
    class_names: tuple[str, ...]
    judges: np.ndarray | None
    patients: np.ndarray | None = None

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the images that train and of those that judge, under a seed.

        Args:
            seed: Decides the halves. Each class is halved; whole patients are dealt out so that this
                holds about.
        """
        if self.judges is not None:
            return np.flatnonzero(~self.judges), np.flatnonzero(self.judges)
        rng = np.random.default_rng([seed, 6])
        if self.patients is not None:
            half = assign_groups(self.labels, self.patients, np.array([0.5, 0.5]), rng)
            return np.flatnonzero(half == 0), np.flatnonzero(half == 1)
        trains = np.zeros(len(self.labels), bool)
        for label in np.unique(self.labels):
            members = rng.permutation(np.flatnonzero(self.labels == label))
            trains[members[: -(-len(members) // 2)]] = True
        return np.flatnonzero(trains), np.flatnonzero(~trains)

    def data(self, seed: int) -> TrainingData:
        """Return the data of the short training of a seed."""
        train, judge = self.split(seed)
        images, labels = self.images, self.labels
        return TrainingData(
            self.class_names,
            take(images, train),
            labels[train],
            take(images, judge),
            labels[judge],
        )


@dataclass(frozen=True, eq=False)
class PretrainImages:
    """All images of a pretraining.

    Args:
        unlabelled: (image, size, size, 3) uint8 RGB; in memory or in the cache.
        watched: The same of the images that a pretraining is watched on.
        watched_labels: (image,) int32, -1 where there is none.
        labelled: The images that judge; None: there is no verdict.
        both: How many images are in both.
        patients: (image,) patient numbers of the unlabelled images; None where no method asks for
            them.
        left_out: How many unlabelled images were left out since they judge.
        pair: What CycleGAN learns from; None without it.
        notes: Sentences about what the sources hold beside these images.
    """

    unlabelled: PixelArray
    watched: np.ndarray
    watched_labels: np.ndarray
    labelled: Labelled | None = None
    both: int = 0
    patients: np.ndarray | None = None
    left_out: int = 0
    pair: Pair | None = None
    notes: tuple[str, ...] = ()

    def data_of(self, method: str) -> TrainingData:
        """Return the examples of a method: for CycleGAN those of two classes, with labels."""
        if method != "cyclegan" or self.pair is None:
            return self.data
        known = () if self.labelled is None else self.labelled.class_names
        names = (*known, *(name for name in self.pair.class_names if name not in known))
        number = np.array([names.index(name) for name in self.pair.class_names], np.int32)
        images, labels = take(self.unlabelled, self.pair.numbers), number[self.pair.labels]
        return TrainingData(names, images, labels, self.watched, self.watched_labels)

    def count_of(self, method: str) -> int:
        """Return how many images a method learns from."""
        if method != "cyclegan" or self.pair is None:
            return len(self.unlabelled)
        return len(self.pair.numbers)

    @property
    def data(self) -> TrainingData:
        """The examples of a method without labels."""
        names = () if self.labelled is None else self.labelled.class_names
        nothing = np.full(len(self.unlabelled), UNLABELLED, np.int32)
        watched = (self.watched, self.watched_labels)
        return TrainingData(names, self.unlabelled, nothing, *watched, train_patients=self.patients)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels and folds."""
        cached = [self.unlabelled]
        if self.labelled is not None:
            cached.append(self.labelled.images)
        return once_if_cached(cached, f"pretraining {self._hash(with_pixels=False)}", self._hash)

    def _hash(self, *, with_pixels: bool = True) -> str:
        digest = hashlib.sha256(repr(self.unlabelled.shape).encode())
        parts: list[PixelArray] = [self.watched, self.watched_labels]
        if self.patients is not None:
            parts.append(self.patients)
        if self.pair is not None:
            parts += [self.pair.numbers, self.pair.labels]
            digest.update(repr(self.pair.class_names).encode())
        if with_pixels:
            parts.insert(0, self.unlabelled)
        if self.labelled is not None:
            parts += [self.labelled.images] if with_pixels else []
            parts += [self.labelled.labels]
            digest.update(repr(self.labelled.class_names).encode())
            optional = (self.labelled.judges, self.labelled.patients)
            parts += [values for values in optional if values is not None]
        for values in parts:
            for some in in_parts(values):
                digest.update(np.ascontiguousarray(some).data)
        return digest.hexdigest()


def _load_table(
    section: str, options: UnlabelledOptions | LabelledOptions, *, needs_labels: bool = True
) -> ImageTable:
    """Return the images of a section's source; an error names the settings of that section."""
    try:
        return load_table(
            options.source, options.columns, options.folder, needs_labels=needs_labels
        )
    except DataError as error:
        words = re.sub(r" \(--(columns|image-folder)[^)]*\)", "", str(error))
        raise type(error)(re.sub(r"\bdata\.(?=columns|folder)", f"{section}.", words)) from None


def check_table(config: PretrainConfig, table: ImageTable) -> None:
    """Raise `ConfigError` unless the unlabelled images name the patients that a method asks for.

    Args:
        config: All settings.
        table: The images.
    """
    if config.pretrain.positives == "patient" and table.groups is None:
        raise ConfigError(
            f'pretrain.positives = "patient": {table.name} names no patients. A table (csv:PATH) has '
            "a column for them; unlabelled.columns = patient=NAME names it."
        )


def prepare_images(
    config: PretrainConfig, *, show_progress: bool = True
) -> tuple[PretrainImages, Sequence[Unreadable]]:
    """Read the images of a pretraining.

    Returns:
        The images, and those that were left out since they cannot be decoded.

    Raises:
        ConfigError: No source is named, or a fold that there is not.
        DataError: A source is missing or damaged; or images that judge are among the unlabelled
            ones, which are listed.
    """
    options, seed = config.unlabelled, config.run.seed
    if not options.source:
        raise ConfigError(
            "unlabelled.source is empty. Name the images to learn from: folder:PATH, csv:PATH, "
            "npz:PATH, digits or fashion_mnist."
        )
    table = _load_table("unlabelled", options, needs_labels=False)
    check_table(config, table)
    unreadable: list[Unreadable] = []
    if options.unreadable_share:
        table, unreadable = skip_unreadable(
            table,
            at_most=options.unreadable_share,
            size=options.size,
            holding=config.executor.holding,
            needs_labels=False,
            show_progress=show_progress,
        )
    table = table.chosen(any_images(len(table), options.images or len(table), seed))
    images = config.executor.holding.hold(
        table.images, np.arange(len(table)), options.size, table.name, show_progress
    )
    labelled, known = _labelled(config, show_progress)
    both, left_out = 0, 0
    if labelled is not None and known is not None:
        shared = _shared(config, (table, images), (known, labelled), show_progress)
        both = len(shared)
        if shared.size and options.overlap == "leave_out":
            kept = np.setdiff1d(np.arange(len(table)), shared)
            if not len(kept):
                raise DataError(
                    f"unlabelled.overlap = 'leave_out': all {both} unlabelled images judge. Name "
                    "folds, of which one judges: labelled.folds."
                )
            table, images, both, left_out = table.chosen(kept), take(images, kept), 0, both
    watched, labels = _watched(images, labelled, config.pretrain.monitor_images, seed)
    patients = table.groups if config.pretrain.positives == "patient" else None
    pair = find_pair(table, config, both) if config.pretrain.cyclegan else None
    notes = table.notes + (() if known is None else known.notes)
    found = PretrainImages(images, watched, labels, labelled, both, patients, left_out, pair, notes)
    return found, unreadable


def _labelled(
    config: PretrainConfig, show_progress: bool
) -> tuple[Labelled | None, ImageTable | None]:
    options = config.labelled
    if not options.source:
        return None, None
    table = _load_table("labelled", options)
    judges = None
    if options.folds:
        folds = read_fold_table(table, options.folds)
        if options.fold > folds.fold.max():
            raise ConfigError(
                f"labelled.fold: {options.folds} has the folds 0 to {folds.fold.max()}. "
                f"Received: {options.fold}."
            )
        if options.images:
            raise ConfigError("labelled.images: folds of a file are of all images. Set it to 0.")
        judges = folds.fold == options.fold
    else:
        table = draw_images(table, options.images or len(table), config.run.seed)
    smallest = int(np.bincount(table.labels, minlength=len(table.class_names)).min())
    if smallest < 2:
        raise DataError(
            f"{table.name}: a class has {smallest} images, too few to train and to judge. Set "
            "labelled.images to more, or leave the class out."
        )
    patients = table.groups if judges is None else None
    if patients is not None:
        _refuse_lone_patients(table, patients)
    images = config.executor.holding.hold(
        table.images, np.arange(len(table)), config.unlabelled.size, table.name, show_progress
    )
    return Labelled(images, table.labels, tuple(table.class_names), judges, patients), table


def _refuse_lone_patients(table: ImageTable, patients: np.ndarray) -> None:
    """Raise `DataError` where a class has one patient, who cannot both train and judge."""
    lone = [
        f"- class {name!r} is in 1 patient; add patients, or leave the class out"
        for number, name in enumerate(table.class_names)
        if len(np.unique(patients[table.labels == number])) < 2
    ]
    if lone:
        what = f"{table.name}: whole patients cannot be halved."
        raise DataError(describe_problems(what, first_of(lone, _LISTED)))


def _shared(
    config: PretrainConfig,
    unlabelled: tuple[ImageTable, PixelArray],
    labelled: tuple[ImageTable, Labelled],
    show_progress: bool,
) -> np.ndarray:
    """Return the numbers of unlabelled images that judge; refuse them unless that is allowed.

    Raises:
        DataError: There are some and `unlabelled.overlap` is "refuse"; they are listed.
    """
    table, known = labelled
    digests = pixel_digests(known.images, show_progress)
    names = {
        digest: table.image_name(number)
        for number, digest in enumerate(digests)
        if known.judges is None or known.judges[number]
    }
    others, pixels = unlabelled
    judging = [
        (number, names[digest])
        for number, digest in enumerate(pixel_digests(pixels, show_progress))
        if digest in names
    ]
    found = [(others.image_name(number), name) for number, name in judging]
    if found and config.unlabelled.overlap == "refuse":
        ours, theirs = config.unlabelled.source, config.labelled.source
        lines = (f"- {a} of {ours}, which is {b} of {theirs}" for a, b in found)
        raise DataError(
            describe_problems(
                f"{len(found)} unlabelled images are among those that the verdict judges by.",
                first_of(lines, _LISTED),
                "Set unlabelled.overlap = 'leave_out' or 'transductive', or name folds whose judging "
                "fold they are not in (labelled.folds).",
            )
        )
    return np.array([number for number, _ in judging], np.int64)


def _watched(
    unlabelled: PixelArray, labelled: Labelled | None, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return images to watch and their labels: labelled ones first, none that a fold judges by."""
    known, labels = unlabelled[:0], np.zeros(0, np.int32)
    if labelled is not None:
        free = np.ones(len(labelled.labels), bool) if labelled.judges is None else ~labelled.judges
        rows = np.flatnonzero(free)
        rows = rows[any_images(len(rows), count, seed)]
        known, labels = labelled.images[rows], labelled.labels[rows].astype(np.int32)
    others = unlabelled[any_images(len(unlabelled), count - len(known), seed + 1)]
    nothing = np.full(len(others), UNLABELLED, np.int32)
    return np.concatenate([known, others]), np.concatenate([labels, nothing])
