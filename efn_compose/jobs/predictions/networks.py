"""The networks that predict: run folders of trainings, single trainings, weight files."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec, Conventions
from efn_compose.assess.out_of_fold.file import find_predictions, read_class_names
from efn_compose.config import load_config
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import ConfigError, EfnComposeError, describe_problems, problem_of
from efn_compose.jobs.donor_entries import load_entry
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.store import WeightFile
from efn_compose.store.arrays import read_arrays
from efn_compose.store.journal import read_journal
from efn_compose.store.run_folder import CONFIG_FILE, JOURNAL_FILE
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.options import TrainOptions
from efn_compose.train.tta.options import TtaOptions

#: Smallest height and width of images, in pixels.
LEAST_SIZE = 8
#: Kernel and bias of the layers behind the pooling, by layer and role.
Head = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network, with all that its training says of how to ask it.

    Args:
        name: The training's name, or the file's.
        spec: The network.
        conventions: How its weights want to be run.
        head_shapes: Shape of each weight behind the pooling.
        load: Reads the weights: the donor and the head. Nothing is kept.
        size: Height and width of its images in pixels.
        class_names: One per output; None where nobody wrote them down.
        train: The recipe, which says what the head looks like.
        augment: What drawn views draw from.
        tta: The training's own views.
        variant: The network's name in the matrix of trainings.
        fold: The fold that its training left out, None for a file from elsewhere.
        seed: Of its training, and of drawn views.
        run: The run folder of its training, None for a file from elsewhere.
        trained_size: Height and width of the images of its training; 0 where nobody wrote it down.
    """

    name: str
    spec: ArchSpec
    conventions: Conventions
    head_shapes: Mapping[str, tuple[int, ...]]
    load: Callable[[], tuple[Donor, Head]]
    size: int
    class_names: tuple[str, ...] | None
    train: TrainOptions = field(default_factory=TrainOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    tta: TtaOptions = field(default_factory=TtaOptions)
    variant: str = ""
    fold: int | None = None
    seed: int = 0
    run: Path | None = None
    trained_size: int = 0

    @property
    def classes(self) -> int:
        """Width of the last layer."""
        return self.head_shapes[f"{HEAD_LAYER}/bias"][0]


def find_networks(entries: Sequence[str], size: int = 0) -> list[Network]:
    """Load every network that run folders and files name.

    A run folder stands for all its finished trainings, with the weights that `train.keep` chose. A
    file inside a run folder is asked as its training asked it.

    Args:
        entries: Run folders of trainings, folders of single trainings, weight files.
        size: Pixels for all networks; 0: what each was trained at.

    Raises:
        ConfigError: An entry cannot be used, a size is not known, or classes differ; all are listed.

    Example:
        >>> [network.name for network in find_networks(["runs/photos"])]  # doctest: +SKIP
        ['b0_fold0_seed1', 'b0_fold1_seed1']
    """
    if size and size < LEAST_SIZE:
        raise ConfigError(f"size: allowed {LEAST_SIZE} or more pixels. Received: {size}.")
    found: list[Network] = []
    problems: list[str] = []
    for entry in entries:
        try:
            found += _of_entry(entry, size)
        except EfnComposeError as error:
            problems.append(problem_of(entry, error))
    problems += _differences(found)
    if not entries:
        problems.append("- no run folder and no weight file is named")
    if problems:
        raise ConfigError(describe_problems("These networks cannot predict.", problems))
    return found


def _of_entry(entry: str, size: int) -> list[Network]:
    path = Path(entry).expanduser()
    if path.is_dir():
        run = _run_of(path)
        if run is None:
            raise ConfigError(
                f"no run folder of trainings: it has no {CONFIG_FILE} with the sections of "
                "`efn-compose train`. Name a folder that `efn-compose train` wrote, or weight files."
            )
        keep = _config(run).train.keep
        ended = [
            one
            for one in _trainings(run)
            if path.resolve() in (run.resolve(), one.folder.resolve())
        ]
        if not ended:
            raise ConfigError("no training has ended here. Finish it: --resume.")
        return [_trained(one.folder / f"{keep}.h5", one, size) for one in ended]
    run = _run_of(path.parent) if path.is_file() else None
    for one in [] if run is None or path.stem not in ("last", "best") else _trainings(run):
        if one.folder.resolve() == path.parent.resolve():
            return [_trained(path, one, size)]
    return [_from_elsewhere(entry, size)]


def _run_of(folder: Path) -> Path | None:
    """Return the run of trainings that a folder is, or is a training of."""
    for candidate in (folder, folder.resolve().parent.parent):
        file = candidate / CONFIG_FILE
        if file.is_file() and re.search(r"^\[validation\]", file.read_text("utf-8"), re.M):
            return candidate
    return None


def _config(run: Path) -> TrainConfig:
    return load_config(run / CONFIG_FILE, (), TrainConfig)


@dataclass(frozen=True)
class _Ended:
    """A training that the journal calls finished."""

    name: str
    variant: str
    fold: int
    seed: int
    run: Path
    folder: Path


def _trainings(run: Path) -> list[_Ended]:
    records = [r for r in read_journal(run / JOURNAL_FILE).records if r.get("error") is None]
    below = run / "trainings"
    return [
        _Ended(
            name, r["variant"], r["fold"], r["seed"], run, below / name if below.is_dir() else run
        )
        for name, r in {record["training"]: record for record in records}.items()
    ]


def _trained(file: Path, training: _Ended, size: int) -> Network:
    run = training.run
    config = _config(run)
    if config.objective.kind != "classify":
        raise ConfigError(
            f"its objective is {config.objective.kind!r}; tables of probabilities are of trainings that "
            "tell classes apart."
        )
    beside = file.with_name(f"{file.stem}_head.npz")
    head = read_arrays(beside) if beside.is_file() else None
    with WeightFile(file) as weights:
        header = weights.header
        shapes = {
            tensor.name: tensor.shape
            for tensor in header.tensors
            if tensor.name.startswith(f"{HEAD_LAYER}/")
        }
    if head is None and header.classes is None:
        raise ConfigError(f"{file} has no classifier, and there is no {beside.name} beside it.")

    def load() -> tuple[Donor, Head]:
        donor = load_donor(file)
        return donor, _head_of(donor) if head is None else head

    head_shapes = shapes if head is None else _shapes(head)
    predictions = find_predictions(run)
    class_names: tuple[str, ...] | None
    if predictions is not None:
        class_names = read_class_names(predictions)
    else:
        # The run has not ended; each weight file knows its classes.
        width = head_shapes[f"{HEAD_LAYER}/bias"][0]
        class_names = TrainedFor.of(header.provenance, width).class_names or None
    return Network(
        name=training.name,
        spec=header.spec,
        conventions=header.conventions,
        head_shapes=head_shapes,
        load=load,
        size=size or config.data.size,
        class_names=class_names,
        train=config.train,
        augment=config.augment,
        tta=config.tta,
        variant=training.variant,
        fold=training.fold,
        seed=training.seed,
        run=run,
        trained_size=config.data.size,
    )


def _from_elsewhere(entry: str, size: int) -> Network:
    donor = load_entry(entry)
    donor.refuse_parts("predicting classes")
    head = _head_of(donor)
    if not head:
        raise ConfigError(
            "it has no classifier, so that there is nothing to predict. Train one: efn-compose train."
        )
    said = donor.trained_for
    if not (size or said.size):
        raise ConfigError(
            "nobody wrote down its image size. Name the pixels: --size N, in a story predict.size = N."
        )
    return Network(
        donor.name,
        donor.spec,
        donor.conventions,
        _shapes(head),
        lambda: (donor, head),
        size or said.size,
        said.class_names or None,
        trained_size=said.size,
    )


def _shapes(head: Head) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in head.items()}


def _head_of(donor: Donor) -> dict[str, np.ndarray]:
    return {
        name: values for name, values in donor.tensors.items() if name.startswith(f"{HEAD_LAYER}/")
    }


def _differences(networks: Sequence[Network]) -> list[str]:
    """Return what keeps networks from answering one question."""
    widths = {network.classes for network in networks}
    named = {network.class_names for network in networks if network.class_names}
    if len(widths) <= 1 and len(named) <= 1:
        return []
    lines = []
    for network in networks:
        names = ", ".join(network.class_names) if network.class_names else "without names"
        lines.append(f"- {network.name}: {network.classes} classes ({names})")
    return ["- the networks tell different classes apart:", *dict.fromkeys(lines)]
