"""`predict`: one row per image from one or many networks, whatever the number of images."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.assess.out_of_fold.file import check_table_suffix
from efn_compose.data import ImageTable, load_table
from efn_compose.data.decoding.decode import undecodable
from efn_compose.errors import ConfigError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.predictions.batch import PredictionSetup, ask_workers
from efn_compose.jobs.predictions.calibration import chosen_threshold, fitted_temperatures
from efn_compose.jobs.predictions.networks import Network, find_networks
from efn_compose.jobs.predictions.rows import make_rows
from efn_compose.jobs.predictions.stream import stream_images
from efn_compose.jobs.predictions.submission import Template, read_template
from efn_compose.jobs.predictions.writing import open_table
from efn_compose.store.atomic import check_writable, refuse_to_replace, write_text
from efn_compose.train.tta.options import VIEW_COUNTS, TtaOptions

#: The filled template, beside the table.
SUBMISSION_FILE = "submission.csv"
_LISTED = 5


@dataclass(frozen=True, eq=False)
class PreparedPrediction:
    """Everything checked and loaded, before anything is computed.

    Args:
        networks: Whom to ask.
        table: The images.
        class_names: One per class.
        output: The table to write.
        tta: Views of each image; None: those of each network's training.
        temperatures: Of each network's logits; empty: 1.
        threshold: Of the second of two classes; None: the most probable class.
        template: What to fill, None for nothing.
        notes: Sentences for people.
        setup: Makes workers, where there are several.
        executor: Where they are; None: this process alone.
    """

    networks: Sequence[Network]
    table: ImageTable
    class_names: tuple[str, ...]
    output: Path
    tta: TtaOptions | None
    temperatures: Sequence[float]
    threshold: float | None
    template: Template | None
    notes: tuple[str, ...]
    setup: PredictionSetup | None = None
    executor: ExecutorOptions | None = None

    @property
    def submission(self) -> Path | None:
        """The filled template's file, None without a template."""
        return None if self.template is None else self.output.with_name(SUBMISSION_FILE)


@dataclass(frozen=True)
class PredictionSummary:
    """What was predicted.

    Args:
        table: The file with a row per image.
        images: Number of images.
        networks: Names of the networks.
        class_names: One per class.
        counts: Images by predicted class.
        spread: Mean spread over networks and views of the predicted class's probability.
        threshold: Of the second of two classes, None for the most probable class.
        temperatures: Of each network, empty where none was applied.
        submission: The filled template, None without.
        notes: Sentences for people.
    """

    table: Path
    images: int
    networks: tuple[str, ...]
    class_names: tuple[str, ...]
    counts: dict[str, int]
    spread: float
    threshold: float | None
    temperatures: tuple[float, ...]
    submission: Path | None
    notes: tuple[str, ...]


def predict(
    networks: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    data: str,
    output: str | os.PathLike[str],
    *,
    columns: Sequence[str] = (),
    folder: str = "",
    size: int = 0,
    tta: int | TtaOptions | None = None,
    temperature: bool = False,
    threshold: str | float = "",
    submission: str | os.PathLike[str] = "",
    executor: ExecutorOptions | None = None,
) -> PredictionSummary:
    """Predict every image of a source and write a row for each.

    A single network trained by `efn-compose train` answers as it answered in its training, to the
    bit. The probabilities of several are averaged.

    Args:
        networks: Run folders of trainings and weight files; one or many.
        data: Images of any source, labelled or not; labels are not looked at.
        output: The table to write, `.csv` or `.parquet`: `image`, a column per class, `predicted`,
            and `spread`, the standard deviation of the predicted class's probability over networks
            and views.
        columns: As for `load_table`.
        folder: As for `load_table`.
        size: Pixels; 0: what each network was trained at.
        tta: Number of views of each image: 1, 2, 4 and 8 are flips and turns, others draws of the
            training's augmentation. None: the views of each network's training.
        temperature: Divide logits by the temperature that suits the out-of-fold predictions best.
        threshold: A number, "youden" or "sensitivity=0.95", from which on the second of two
            classes is predicted. Names are measured on out-of-fold predictions.
        submission: A competition's template to fill; `submission.csv` is written beside the table.
        executor: Workers that share the images, each with one thread; None: this process with all.

    Returns:
        What was predicted. The rows are in the file.

    Raises:
        ConfigError: Networks or settings cannot be used; all problems are listed.
        DataError: Images cannot be decoded, or the template does not fit them.

    Example:
        >>> predict("runs/photos", "folder:new", "new.csv").images  # doctest: +SKIP
        1200
    """
    entries = [networks] if isinstance(networks, str | os.PathLike) else networks
    prepared = prepare_prediction(
        [os.fspath(entry) for entry in entries],
        data,
        Path(output),
        columns=columns,
        folder=folder,
        size=size,
        tta=tta,
        temperature=temperature,
        threshold=str(threshold),
        submission=os.fspath(submission),
        executor=executor,
    )
    return write_prediction(prepared)


def prepare_prediction(
    entries: Sequence[str],
    data: str,
    output: Path,
    *,
    columns: Sequence[str] = (),
    folder: str = "",
    size: int = 0,
    tta: int | TtaOptions | None = None,
    temperature: bool = False,
    threshold: str = "",
    submission: str = "",
    executor: ExecutorOptions | None = None,
) -> PreparedPrediction:
    """Load and check all that `predict` needs; computes and writes nothing.

    Raises:
        EfnComposeError: Anything that would stop the prediction later, but for broken images.
    """
    check_table_suffix(output)
    check_writable("-o", output)
    read = [Path(name).expanduser() for name in (submission, data.partition(":")[2]) if name]
    for written in (output, *([output.with_name(SUBMISSION_FILE)] if submission else [])):
        refuse_to_replace(written, *read)
    if submission and output.name == SUBMISSION_FILE:
        raise ConfigError(
            f"-o {output}: the filled template will have this name. Give the table another one."
        )
    views = views_of(tta) if isinstance(tta, int) else tta
    networks = find_networks(entries, size)
    merges = {(views or network.tta).merge for network in networks}
    if "rank" in merges:
        raise ConfigError(
            "tta.merge = 'rank' ranks images among each other and gives no probabilities. Choose "
            "views that are averaged: --tta N."
        )
    table = load_table(data, columns, folder, needs_labels=False)
    class_names, notes = _class_names(networks, table)
    notes = [*table.notes, *notes, *_other_sizes(networks)]
    temperatures = fitted_temperatures(networks) if temperature else []
    if temperatures:
        shown = ", ".join(f"{value:.3f}" for value in dict.fromkeys(temperatures))
        notes.append(f"temperature {shown}, fitted to the out-of-fold predictions, is applied")
    level = chosen_threshold(threshold, networks, temperatures) if threshold else None
    if level is not None:
        notes.append(f"{class_names[1]} is predicted from a probability of {level:.4f} on")
        if len(networks) > 1 and not threshold[0].isdecimal() and threshold[0] != ".":
            notes.append(
                "this threshold was measured on single networks out of fold; the mean of "
                f"{len(networks)} networks is less extreme"
            )
    template = None
    if submission:
        names = [table.image_name(number) for number in range(len(table))]
        template = read_template(Path(submission).expanduser(), names, class_names)
        notes += template.notes
    # Workers on processors have one thread each, as those of trainings have.
    threads = 0 if executor is not None and EXECUTORS[executor.chosen].is_in_process else 1
    absolute = tuple(str(Path(entry).expanduser().resolve()) if Path(entry).expanduser().exists()
                     else entry for entry in entries)  # fmt: skip
    setup = PredictionSetup(absolute, size, views, tuple(temperatures), threads)
    return PreparedPrediction(
        networks, table, class_names, output, views, temperatures, level, template, tuple(notes),
        setup, executor,
    )  # fmt: skip


def _other_sizes(networks: Sequence[Network]) -> list[str]:
    """Return a note for each size of training that is not the size of the question."""
    sizes = sorted({(one.trained_size, one.size) for one in networks if one.trained_size})
    return [
        f"images are asked about at {asked} pixels; the training was at {trained}"
        for trained, asked in sizes
        if trained != asked
    ]


def write_prediction(
    prepared: PreparedPrediction,
    on_images: Callable[[int], Any] = lambda count: None,
    note: Callable[[str], None] = lambda words: None,
) -> PredictionSummary:
    """Ask the networks about all images and write table and submission.

    Args:
        prepared: Of `prepare_prediction`.
        on_images: Told how many more images are done.
        note: Told what a person should know of the workers.

    Raises:
        DataError: Images cannot be decoded; all are listed, and nothing was written.
        RunError: The disk is full, or not writable.
    """
    table, names, template = prepared.table, prepared.class_names, prepared.template
    counts, spread = np.zeros(len(names), np.int64), 0.0
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    with open_table(prepared.output, names) as writer:
        for numbers, answers, every in _answers(prepared, note):
            images = tuple(table.image_name(int(number)) for number in numbers)
            rows = make_rows(images, answers, every, prepared.threshold)
            writer.write(rows)
            counts += np.bincount(rows.predicted, minlength=len(names))
            spread += float(rows.spread.sum(dtype=np.float64))
            if template is not None:
                kept.append((rows.probability, rows.predicted))
            on_images(len(numbers))
    if template is not None and prepared.submission is not None:
        probability, predicted = (np.concatenate(part) for part in zip(*kept, strict=True))
        write_text(prepared.submission, template.fill(probability, predicted, names))
    return PredictionSummary(
        table=prepared.output,
        images=len(table),
        networks=tuple(network.name for network in prepared.networks),
        class_names=names,
        counts=dict(zip(names, counts.tolist(), strict=True)),
        spread=spread / max(len(table), 1),
        threshold=prepared.threshold,
        temperatures=tuple(prepared.temperatures),
        submission=prepared.submission,
        notes=prepared.notes,
    )


def _answers(
    prepared: PreparedPrediction, note: Callable[[str], None]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield numbers, networks' answers and views' answers of chunk after chunk, in order."""
    table = prepared.table
    if prepared.setup is not None and prepared.executor is not None:
        yield from ask_workers(
            prepared.setup, table, prepared.executor, note, lambda f: undecodable(f, len(table))
        )
        return
    from efn_compose.jobs.predictions.panel import Panel

    panel = Panel(prepared.networks, prepared.tta, prepared.temperatures)
    for numbers, pixels in stream_images(table, panel.sizes):
        yield numbers, *panel.ask(pixels, numbers)


def views_of(count: int) -> TtaOptions:
    """Return the options of a number of views: flips and turns where they are so many, else draws.

    Raises:
        ConfigError: The number makes no sense.

    Example:
        >>> [views_of(count).views for count in (1, 2, 8, 20)]
        ['none', 'flip', 'dihedral', 'drawn']
    """
    if not 1 <= count <= 256:
        raise ConfigError(f"--tta must be 1 to 256 views. Received: {count}.")
    for kind in ("none", "flip", "flips", "dihedral"):
        if VIEW_COUNTS[kind] == count:
            return TtaOptions(views=kind)
    return TtaOptions(views="drawn", count=count)


def _class_names(
    networks: Sequence[Network], table: ImageTable
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the classes, and a note where the networks did not bring them."""
    for network in networks:
        if network.class_names is not None:
            return network.class_names, []
    count = networks[0].classes
    if len(table.class_names) == count:
        return tuple(table.class_names), [
            f"the weight files name no classes; those of {table.name} are taken, in its order"
        ]
    return tuple(str(number) for number in range(count)), [
        "neither weight files nor images name the classes; the columns are numbered"
    ]
