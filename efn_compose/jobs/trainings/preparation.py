"""Everything of a run of trainings checked and loaded before anything is written."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from efn_compose.arch import ArchSpec, DecoderSpec, arch_spec, variant_name
from efn_compose.arch.cost import cost
from efn_compose.config import dump_toml, load_config
from efn_compose.donors import Donor
from efn_compose.donors.unet import DECODER
from efn_compose.errors import ConfigError
from efn_compose.jobs.donor_entries import load_start
from efn_compose.jobs.memory_plan import Demand, Machine, MemoryPlan
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.jobs.trainings.cells import Cell
from efn_compose.jobs.trainings.images import PreparedImages, prepare_images
from efn_compose.jobs.trainings.options import TrainConfig, WeightOptions
from efn_compose.jobs.trainings.purpose import check_purpose
from efn_compose.nesting import nest, plan_nesting
from efn_compose.store.weights.parts import refuse_parts

#: How trainings keep their configuration.
STORED = StoredConfig(
    TrainConfig,
    free=("run", "executor"),
    nullable=("validation.worst_rate", "validation.worst_size_distance"),
)


@dataclass(frozen=True)
class PreparedTrainings:
    """Everything checked and loaded, before anything is written."""

    config: TrainConfig
    donors: dict[str, Donor]
    images: PreparedImages
    folder: Path

    @property
    def cells(self) -> list[Cell]:
        """All trainings; those of one network follow each other, so that it is traced once."""
        first = self.config.run.seed
        validation = self.config.validation
        return [
            Cell(variant, fold, seed)
            for variant in self.donors
            for fold in range(validation.folds)
            for seed in range(first, first + validation.seeds)
        ]

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each training; a single one has the run's own."""
        cells = self.cells
        if len(cells) == 1:
            return {cells[0].name: self.folder}
        return {cell.name: self.folder / "trainings" / cell.name for cell in cells}

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the results."""
        donors = "".join(donor.fingerprint for donor in self.donors.values())
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "donors": hashlib.sha256(donors.encode()).hexdigest(),
            "data": self.images.folded.fingerprint,
        }


def prepare_trainings(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    show_progress: bool = True,
    resume: bool | None = None,
) -> PreparedTrainings:
    """Load and check configuration, weights and images; writes nothing.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        show_progress: Draw the progress of reading images.
        resume: Whether the run folder has a run to go on with, or else none; None does not look.

    Raises:
        EfnComposeError: Anything that would stop the run later.
    """
    config = load_config(config_path, overrides, TrainConfig)
    folder = config.run.folder(config_path, "train")
    STORED.check_place(folder, config, resume)
    if not config.weights.file:
        raise ConfigError(
            "weights.file is empty. Name a weight file, such as the efn_magic_weights.h5 that "
            "`efn-compose evolve` writes, any checkpoint, or package:NAME."
        )
    source = load_start(config.weights.file)
    _check_parts(source, config)
    targets = [variant_name(name) for name in config.weights.variants] or [source.spec.variant]
    for target in dict.fromkeys(targets):
        if target != source.spec.variant:
            # Found out now, not after the first network's trainings.
            plan_nesting([source.spec], arch_spec(target))
    if config.weights.fill != WeightOptions.fill and set(targets) == {source.spec.variant}:
        raise ConfigError(
            f"weights.fill = {config.weights.fill!r} has no effect: it is the start of what a larger network "
            f"has more, and {source.spec.variant} is that of the weight file. Remove weights.fill, or name a "
            "larger network in weights.variants."
        )
    specs = [
        source.spec if target == source.spec.variant else arch_spec(target) for target in targets
    ]
    if not config.executor.address:
        # Before images are decoded; where they go follows from what is free.
        memory_plan(config, specs, 0).check("train.batch_size")
    images = prepare_images(config, show_progress=show_progress)
    doubts = images.doubts([source], config.validation.folds)
    images = dataclasses.replace(images, notes=images.notes + doubts)
    check_purpose(config, source, images.folded)
    donors = {
        target: source
        if target == source.spec.variant
        else nest(source, target, fill=config.weights.fill, seed=config.run.seed)
        for target in dict.fromkeys(targets)
    }
    return PreparedTrainings(config, donors, images, folder)


def memory_plan(config: TrainConfig, specs: Sequence[ArchSpec], images: int) -> MemoryPlan:
    """Return what a matrix of trainings takes of this machine.

    Args:
        config: Its configuration.
        specs: Its networks.
        images: Number of images.
    """
    validation, size = config.validation, config.data.size
    if config.objective.kind == "segment":
        # A decoder's maps are larger than the encoder's, and the classic one's are the largest.
        is_mirror = config.objective.decoder == "mirror"
        decoder = DecoderSpec("mirror" if is_mirror else "classic")
        specs = [spec.with_decoder(decoder) for spec in specs]
    cells = len(specs) * validation.folds * validation.seeds
    largest = max(specs, key=lambda spec: cost(spec, size).activations)
    demand = Demand.of(largest, config.train.batch_size, size, images, len(specs), config.executor)
    workers = min(demand.workers, cells)
    return MemoryPlan(dataclasses.replace(demand, workers=workers), Machine.here())


def _check_parts(source: Donor, config: TrainConfig) -> None:
    """Refuse further parts that the objective does not train."""
    known = (DECODER,) if config.objective.kind == "segment" else ()
    others = [name for name in source.parts if name not in known]
    refuse_parts(source.name, others, "this training")
