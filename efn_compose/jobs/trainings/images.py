"""The images of a matrix of trainings: read, cut into folds, checked for leaks."""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from efn_compose.analysis.reading.figures import count
from efn_compose.data import ImageTable, load_table
from efn_compose.data.decoding.unreadable import Unreadable, skip_unreadable
from efn_compose.data.draw import draw_images
from efn_compose.data.folding.duplicates import (
    Duplicate,
    contradiction_notes,
    equal_across,
    equal_pairs,
    join_duplicates,
    pixel_digests,
)
from efn_compose.data.folding.fold_table import read_fold_table
from efn_compose.data.folding.folds import Folds, make_folds
from efn_compose.data.identity import image_marks
from efn_compose.data.masks.reading import read_masks
from efn_compose.data.pixels import once_if_cached, take
from efn_compose.data.table import UNLABELLED
from efn_compose.donors import Donor
from efn_compose.donors.seen_images import SeenImages, seen_notes
from efn_compose.errors import ConfigError, DataError, describe_problems, first_of
from efn_compose.jobs.trainings.masks.scores import load_masked_table, stratified
from efn_compose.jobs.trainings.options import TrainConfig, ValidationOptions
from efn_compose.numerics.pixel_array import PixelArray, in_parts
from efn_compose.train.examples import TrainingData
from efn_compose.train.semi.options import SemiOptions

#: Duplicates that a message lists.
_LISTED = 10


@dataclass(frozen=True, eq=False)
class FoldedImages:
    """All images of a run, and the fold of each.

    Args:
        images: (image, size, size, 3) uint8 RGB; in memory or in the cache.
        labels: (image,) int32.
        class_names: One per class.
        fold: (image,) int64.
        unlabelled: (image, size, size, 3) uint8, images without labels; None without any.
        masks: (image, size, size) uint8 class of each pixel, 255 where unknown; None without any.
        mask_names: One per class of the pixels.
        marks: (image,) uint64 of `image_marks`; empty where nobody asked for them.
    """

    images: PixelArray
    labels: np.ndarray
    class_names: tuple[str, ...]
    fold: np.ndarray
    unlabelled: PixelArray | None = None
    masks: np.ndarray | None = None
    mask_names: tuple[str, ...] = ()
    marks: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))

    def part(self, fold: int) -> tuple[TrainingData, np.ndarray]:
        """Return the data of the training that a fold validates, and the fold's image numbers."""
        train, validation = np.flatnonzero(self.fold != fold), np.flatnonzero(self.fold == fold)
        data = TrainingData(
            self.class_names,
            take(self.images, train),
            self.labels[train],
            take(self.images, validation),
            self.labels[validation],
            train_masks=None if self.masks is None else self.masks[train],
            validation_masks=None if self.masks is None else self.masks[validation],
            mask_names=self.mask_names,
        )
        return data, validation

    def seen(self, fold: int) -> SeenImages:
        """Return what the weights of the training that a fold validates have learnt from."""
        return SeenImages.of(self.marks[self.fold != fold])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, class names and folds."""
        images = [part for part in (self.images, self.unlabelled) if part is not None]
        return once_if_cached(images, f"folds {self._hash(with_pixels=False)}", self._hash)

    def _hash(self, *, with_pixels: bool = True) -> str:
        digest = hashlib.sha256(repr((self.class_names, self.images.shape)).encode())

        def add(images: PixelArray) -> None:
            for some in in_parts(images) if with_pixels else ():
                digest.update(np.ascontiguousarray(some).data)

        add(self.images)
        for values in (self.labels, self.fold):
            digest.update(np.ascontiguousarray(values).data)
        if self.unlabelled is not None:
            add(self.unlabelled)
        if self.masks is not None:
            digest.update(np.ascontiguousarray(self.masks).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """The images of a matrix of trainings, and the notes on them.

    Args:
        table: The images that are trained on, under the numbers of `folded`.
        folded: The same, decoded.
        folds: With their quality table.
        unreadable: Images that were left out.
        duplicates: Equal images in different folds.
        known: Unlabelled images left out since they are among the labelled ones.
        mask_note: A sentence about the values of masks, "" without masks.
        notes: Sentences about what the source holds beside these images.
    """

    table: ImageTable
    folded: FoldedImages
    folds: Folds
    unreadable: Sequence[Unreadable]
    duplicates: Sequence[Duplicate]
    known: int = 0
    mask_note: str = ""
    notes: tuple[str, ...] = ()

    def doubts(self, donors: Sequence[Donor], folds: int) -> tuple[str, ...]:
        """Return a sentence where networks have learnt from labels of images that validate.

        Args:
            donors: The networks that trainings begin with.
            folds: How many of the folds validate.
        """
        marks = self.folded.marks[self.folded.fold < folds]
        return seen_notes(donors, {"validation": marks})

    def warnings(self, *, are_listed: bool = False) -> Iterator[str]:
        """Yield sentences about images that are passed over, left out or in two folds.

        Args:
            are_listed: The run folder has tables of them, which are named.
        """
        if self.mask_note:
            yield self.mask_note
        yield from self.notes
        if self.unreadable:
            words = f"{len(self.unreadable)} images cannot be decoded and are left out"
            yield words + (": unreadable.csv" if are_listed else "")
        if self.known:
            yield f"{self.known} unlabelled images are among the labelled ones and are left out"
        if self.duplicates:
            words = f"{count(len(self.duplicates), 'pair')} of equal images in different folds"
            words += ": that flatters every score"
            yield words + (": duplicates.csv" if are_listed else "")


@dataclass(frozen=True, eq=False)
class ListedImages:
    """The images of a run before they are cut into folds.

    Args:
        table: The images that are trained on.
        unreadable: Images that were left out.
        notes: Sentences about what the source holds beside these images.
    """

    table: ImageTable
    unreadable: Sequence[Unreadable]
    notes: tuple[str, ...]

    def decoded(self, config: TrainConfig, show_progress: bool = True) -> PixelArray:
        """Return the pixels of all images, in memory or in the cache.

        Args:
            config: All settings.
            show_progress: Show a bar on a terminal when it takes long.
        """
        table, every = self.table, np.arange(len(self.table))
        holding, size = config.executor.holding, config.data.size
        return holding.hold(table.images, every, size, table.name, show_progress)


def list_images(
    config: TrainConfig, *, table: ImageTable | None = None, show_progress: bool = True
) -> ListedImages:
    """Return the images that a configuration names and draws.

    Args:
        config: All settings.
        table: As for `prepare_images`.
        show_progress: Show a bar on a terminal when it takes long.

    Raises:
        ConfigError: No source is named.
        DataError: The source is missing or damaged.
    """
    options = config.data
    if not options.source:
        raise ConfigError(
            "data.source is empty. Name your images: folder:PATH (a folder per class), csv:PATH, "
            "npz:PATH, digits or fashion_mnist."
        )
    if config.objective.kind == "segment":
        table = load_masked_table(options)
    elif table is None:
        table = load_table(options.source, options.columns, options.folder)
    notes, unreadable = table.notes, list[Unreadable]()
    if options.unreadable_share:
        table, unreadable = _readable(table, config, show_progress, needs_labels=True)
    table = draw_images(table, options.images or len(table), config.run.seed)
    return ListedImages(table, unreadable, notes)


def prepare_images(
    config: TrainConfig, *, table: ImageTable | None = None, show_progress: bool = True
) -> PreparedImages:
    """Read a run's images, cut them into folds and look for what would make validation lie.

    Args:
        config: All settings.
        table: The images of `data.source`, where they are listed already; of classes only.
        show_progress: Show a bar on a terminal when it takes long.

    Raises:
        ConfigError: No source is named, or fewer images are asked for than make sense.
        DataError: The source is missing or damaged, the folds are impossible or worse than
            accepted, or there are duplicates that are refused.
    """
    listed = list_images(config, table=table, show_progress=show_progress)
    table, options, has_masks = listed.table, config.data, config.objective.kind == "segment"
    if config.validation.file and not has_masks:
        # A table that does not fit is found out before anything is decoded.
        read_fold_table(table, config.validation.file)
    images, notes = listed.decoded(config, show_progress), listed.notes
    read = read_masks(table, options.size, show_progress) if has_masks else None
    if read is not None:
        table = stratified(table, read.foreground)
    digests = pixel_digests(images, show_progress)
    folds = _folds(table, digests, config.validation, config.run.seed)
    duplicates = equal_across(digests, folds.fold)
    if duplicates and config.validation.duplicates != "report":
        lines = (
            f"- {table.image_name(pair.first)} and {table.image_name(pair.second)}"
            for pair in duplicates
        )
        raise DataError(
            describe_problems(
                f"{table.name}: {count(len(duplicates), 'pair')} of equal images in different folds, so "
                "that validation would test images that training has seen.",
                first_of(lines, _LISTED),
                _advice(config.validation),
            )
        )
    unlabelled, known, more_notes = _unlabelled(config, set(digests), show_progress)
    notes += more_notes
    marks = image_marks(table.images)
    if read is None:
        notes += tuple(contradiction_notes(table, digests))
        names = tuple(table.class_names)
        folded = FoldedImages(images, table.labels, names, folds.fold, unlabelled, marks=marks)
        return PreparedImages(
            table, folded, folds, listed.unreadable, duplicates, known, notes=notes
        )
    no_labels = np.full(len(table), UNLABELLED, np.int32)
    folded = FoldedImages(
        images,
        no_labels,
        (),
        folds.fold,
        masks=read.masks,
        mask_names=read.names,
        marks=marks,
    )
    return PreparedImages(
        table, folded, folds, listed.unreadable, duplicates, known, read.note, notes
    )


def _readable(
    table: ImageTable, config: TrainConfig, show_progress: bool, *, needs_labels: bool
) -> tuple[ImageTable, list[Unreadable]]:
    """Return the images that can be decoded, and the others, as many as the settings allow."""
    return skip_unreadable(
        table,
        at_most=config.data.unreadable_share,
        size=config.data.size,
        holding=config.executor.holding,
        needs_labels=needs_labels,
        show_progress=show_progress,
    )


def _advice(options: ValidationOptions) -> str:
    """Return what to do about equal images in different folds."""
    if options.file:
        cut = "efn-compose folds --duplicates join"
        return f"The folds are those of {options.file}: remove one of each, or cut them again with {cut}."
    return "Remove one of each, or set validation.duplicates = 'join'."


def _further_table(config: TrainConfig) -> ImageTable:
    """Return the images of `semi.unlabelled`, whose columns and folder are called as those of the data."""
    source, data = config.semi.unlabelled, config.data
    # Labels and patients are not read, and need not be there.
    images = [entry for entry in data.columns if entry.partition("=")[0].strip() == "image"]
    kind = source.partition(":")[0]
    is_alike = kind == data.source.partition(":")[0]
    return load_table(
        source,
        images if is_alike else (),
        data.folder if is_alike and kind == "csv" else "",
        needs_labels=False,
    )


def _unlabelled(
    config: TrainConfig, labelled: set[str], show_progress: bool
) -> tuple[PixelArray | None, int, tuple[str, ...]]:
    """Return the unlabelled images, how many were left out since they have labels, and notes."""
    semi = config.semi
    if semi.method == "none":
        return None, 0, ()
    require_unlabelled(semi)
    table = _further_table(config)
    notes = table.notes
    if config.data.unreadable_share:
        table, unreadable = _readable(table, config, show_progress, needs_labels=False)
        if unreadable:
            reasons = "; ".join(first_of((image.reason for image in unreadable), _LISTED))
            words = "unlabelled images cannot be decoded and are left out"
            notes += (f"{len(unreadable)} {words}: {reasons}",)
    order = np.random.default_rng([config.run.seed, 5]).permutation(len(table))
    chosen = np.sort(order[: semi.unlabelled_images or len(table)])
    images = config.executor.holding.hold(
        table.images, chosen, config.data.size, semi.unlabelled, show_progress
    )
    # Validation images among them would be seen in training.
    is_new = np.array([digest not in labelled for digest in pixel_digests(images, show_progress)])
    if not is_new.any():
        raise DataError(
            f"semi.unlabelled: all images of {semi.unlabelled} are among the labelled ones."
        )
    return take(images, is_new), int((~is_new).sum()), notes


def require_unlabelled(semi: SemiOptions) -> None:
    """Raise `ConfigError` where a method learns from images without labels, and none are named."""
    if semi.method != "none" and not semi.unlabelled:
        raise ConfigError(
            f"semi.method = {semi.method!r} and semi.unlabelled is empty. Name the images without "
            "labels: folder:PATH, csv:PATH, npz:PATH, digits or fashion_mnist."
        )


def _folds(table: ImageTable, digests: list[str], options: ValidationOptions, seed: int) -> Folds:
    """Read the folds that the options name, or cut some."""
    if options.file:
        folds = read_fold_table(table, options.file)
        own = int(folds.fold.max()) + 1
        if options.folds not in (1, own):
            raise ConfigError(
                f"validation.folds: {options.file} has {own} folds; allowed 1 or {own}. "
                f"Received: {options.folds}."
            )
        return folds
    if options.duplicates == "join":
        groups = join_duplicates(table.groups, equal_pairs(digests), len(table))
        table = replace(table, groups=groups, group_names=None)
    try:
        return make_folds(table, options.cut, seed=seed)
    except DataError as error:
        if options.folds > 1:
            raise
        raise DataError(
            f"{error}\n  validation.folds = 1 validates a fifth of the images, the first of "
            f"{options.cut} folds. With validation.folds = N (--folds N) each of N folds validates."
        ) from None


def table_of(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
