"""Everything of a run of pretrainings checked and loaded before anything is written."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from efn_compose.config import dump_toml, load_config
from efn_compose.data.decoding.unreadable import Unreadable
from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.errors import ConfigError
from efn_compose.jobs.donor_entries import load_donors
from efn_compose.jobs.pretraining.cells import PretrainCell
from efn_compose.jobs.pretraining.images import PretrainImages, prepare_images
from efn_compose.jobs.pretraining.judge import JudgeTask
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.pretraining.verdict import ABSORBED
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.train.tiles import check_sizes

#: Seeds of the verdict lie this far above the run's, so that no pretraining has one of them.
_FRESH = 1_000

STORED = StoredConfig(PretrainConfig, free=("run", "executor"))

#: Updates that paid where this was measured: VICReg, experiments/results/selfsup.md.
WORTH_UPDATES = 500


@dataclass(frozen=True)
class PreparedPretraining:
    """Everything checked and loaded, before anything is written."""

    config: PretrainConfig
    donor: Donor
    images: PretrainImages
    unreadable: Sequence[Unreadable]
    folder: Path

    @property
    def cells(self) -> list[PretrainCell]:
        """All pretrainings; those of one method follow each other, so that it is traced once."""
        first, options = self.config.run.seed, self.config.pretrain
        return [
            PretrainCell(method, seed)
            for method in options.methods
            for seed in range(first, first + options.seeds)
        ]

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each pretraining; a single one has the run's own."""
        cells = self.cells
        if len(cells) == 1:
            return {cells[0].name: self.folder}
        return {cell.name: self.folder / "pretrainings" / cell.name for cell in cells}

    @property
    def judgements(self) -> list[JudgeTask]:
        """All judgements, arm by arm; none without labelled images."""
        if self.images.labelled is None:
            return []
        first = self.config.run.seed + _FRESH
        seeds = range(first, first + self.config.labelled.seeds)
        arms = [ABSORBED, *(cell.name for cell in self.cells)]
        return [JudgeTask(arm, seed) for arm in arms for seed in seeds]

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the results."""
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "donors": hashlib.sha256(self.donor.fingerprint.encode()).hexdigest(),
            "data": self.images.fingerprint,
        }

    @property
    def notes(self) -> list[str]:
        """What a reader of the result should know."""
        found = list(self.images.notes)
        if self.images.both:
            found.append(
                f"transductive by choice: {self.images.both} images were learnt from and judge, "
                "so that new images may fare worse"
            )
        if self.images.left_out:
            found.append(f"{self.images.left_out} unlabelled images judge and were left out")
        if self.images.pair is not None:
            pair = self.images.pair
            found.append(
                f"cyclegan has read the labels {' and '.join(pair.class_names)} of "
                f"{len(pair.labels)} images. Use its encoder and its images only where none of "
                "these judges"
            )
        if self.unreadable:
            found.append(f"{len(self.unreadable)} images cannot be decoded and were left out")
        options, augment = self.config.pretrain, self.config.augment
        if "rotation" in options.methods and (augment.flip_y or augment.rotation >= 45):
            found.append(
                "rotation asks which way up an image is, and [augment] changes that before: it is asked "
                "what nobody can tell. Set augment.flip_y = 0 and augment.rotation below 45"
            )
        count = min(map(self.images.count_of, options.methods))
        per_epoch = count // options.batch_size
        if (updates := per_epoch * options.epochs) < WORTH_UPDATES:
            found.append(
                f"{updates} updates in {options.epochs} epochs of {count:,} images are few. Set "
                f"pretrain.epochs = {-(-WORTH_UPDATES // per_epoch)} for {WORTH_UPDATES}: VICReg gained "
                f"2.6 ± 0.6 points with these, and 0.7 ± 0.6 with 100"
            )
        return found


def first_weights(config: PretrainConfig) -> Donor:
    """Return the network that a pretraining starts from.

    Args:
        config: All settings.

    Raises:
        EfnComposeError: None is named, or it cannot be pretrained.
    """
    if not config.weights.file:
        raise ConfigError(
            "weights.file is empty. Name a weight file, any checkpoint, or package:NAME."
        )
    donor = load_donors([config.weights.file])[0]
    donor.refuse_parts("a pretraining")
    refuse_group_norm(donor.name, donor.spec, "a pretraining")
    return donor


def check_count(config: PretrainConfig, count: int) -> None:
    """Raise `ConfigError` unless the unlabelled images fill a batch.

    Args:
        config: All settings.
        count: Images to learn from.
    """
    batch = config.pretrain.batch_size
    if count < batch:
        raise ConfigError(
            f"{count} unlabelled images do not fill one batch of {batch}. Give more images, or set "
            f"pretrain.batch_size = {max(count, 2)} or less."
        )


def prepare_pretraining(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    show_progress: bool = True,
    resume: bool | None = None,
) -> PreparedPretraining:
    """Load and check configuration, weights and images; writes nothing.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        show_progress: Draw the progress of reading images.
        resume: Whether the run folder has a run to go on with, or else none; None does not look.

    Raises:
        EfnComposeError: Anything that would stop the run later.
    """
    config = load_config(config_path, overrides, PretrainConfig)
    folder = config.run.folder(config_path, "pretrain")
    STORED.check_place(folder, config, resume)
    donor = first_weights(config)
    check_sizes(config.pretrain.train_options(), config.augment, config.unlabelled.size)
    images, unreadable = prepare_images(config, show_progress=show_progress)
    check_count(config, len(images.unlabelled))
    return PreparedPretraining(config, donor, images, unreadable, folder)
