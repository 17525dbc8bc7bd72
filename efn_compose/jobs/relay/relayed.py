"""The jobs that can be handed on: what each needs on another machine, and how it goes on."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efn_compose.data.folding.duplicates import pixel_digests
from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.jobs.relay.deadline import Deadline
    from efn_compose.jobs.stored_run import StoredConfig


@dataclass(frozen=True)
class RelayedJob:
    """A job that can be handed on.

    Args:
        stored: How its runs keep their configuration.
        files: Settings that name files which travel in the parcel.
        sources: Settings that name images, which do not travel.
        images: Digest of each image by its name, from configuration and overrides.
        check: Raises what the job would refuse beside images, which are the run's by then.
        run: Runs the job: configuration, overrides, whether it goes on, whether it is quiet, and
            the deadline.
        file: The configuration file that the job reads, from the one that was named and overrides.
    """

    stored: "StoredConfig[Any]"
    files: tuple[str, ...]
    sources: tuple[str, ...]
    images: Callable[[str | None, list[str]], Mapping[str, str]]
    run: Callable[[str | None, list[str], bool, bool, "Deadline"], Any]
    check: Callable[[str], Any] = lambda config: None
    file: Callable[[str | None, Sequence[str]], str | os.PathLike[str] | None] = (
        lambda config, overrides: config
    )


def relayed_job(verb: str) -> RelayedJob:
    """Return the job of a verb.

    Raises:
        ConfigError: The verb cannot be handed on.
    """
    jobs = {"train": _train, "pretrain": _pretrain, "evolve": _evolve}
    if verb not in jobs:
        raise ConfigError(f"A relay is of {', '.join(jobs)}. Received: {verb!r}.")
    return jobs[verb]()


def _train() -> RelayedJob:
    from efn_compose.config import load_config
    from efn_compose.jobs.trainings.images import list_images
    from efn_compose.jobs.trainings.job import run_trainings
    from efn_compose.jobs.trainings.preparation import STORED, prepare_trainings

    def images(config: str | None, overrides: list[str]) -> Mapping[str, str]:
        # Without folds: other images do not fit a file of folds, and their own names say more.
        settings = load_config(config, overrides, STORED.schema)
        listed = list_images(settings, show_progress=False)
        table, options = listed.table, settings.data
        home = options.folder or options.source.partition(":")[2]
        names = [_without(home, table.image_name(number)) for number in range(len(table))]
        digests = pixel_digests(listed.decoded(settings, False), False)
        return dict(zip(names, digests, strict=True))

    def check(config: str) -> None:
        prepare_trainings(config, show_progress=False)

    def run(
        config: str | None, overrides: list[str], resume: bool, quiet: bool, deadline: "Deadline"
    ) -> Any:
        prepared = prepare_trainings(config, overrides, show_progress=not quiet, resume=resume)
        return run_trainings(prepared, resume=resume, quiet=quiet, deadline=deadline)

    return RelayedJob(
        stored=STORED,
        files=("weights.file", "validation.file"),
        sources=("data.source", "data.folder", "data.masks", "semi.unlabelled"),
        images=images,
        run=run,
        check=check,
    )


def _pretrain() -> RelayedJob:
    from efn_compose.config import load_config
    from efn_compose.jobs.pretraining.images import prepare_images
    from efn_compose.jobs.pretraining.job import pretrain
    from efn_compose.jobs.pretraining.preparation import STORED, first_weights

    def images(config: str | None, overrides: list[str]) -> Mapping[str, str]:
        options = load_config(config, overrides, STORED.schema)
        # Refused before images are decoded.
        first_weights(options)
        # Wrong images may be too few for a batch, which is not what is wrong with them.
        prepared, _ = prepare_images(options, show_progress=False)
        parts = {"unlabelled": prepared.unlabelled}
        if prepared.labelled is not None:
            parts["labelled"] = prepared.labelled.images
        return {
            f"{part} image {number}": digest
            for part, pixels in parts.items()
            for number, digest in enumerate(pixel_digests(pixels, False))
        }

    def run(
        config: str | None, overrides: list[str], resume: bool, quiet: bool, deadline: "Deadline"
    ) -> Any:
        return pretrain(config, overrides, resume=resume, quiet=quiet)

    return RelayedJob(
        stored=STORED,
        files=("weights.file", "labelled.folds"),
        sources=("unlabelled.source", "unlabelled.folder", "labelled.source", "labelled.folder"),
        images=images,
        run=run,
    )


def _evolve() -> RelayedJob:
    from efn_compose.jobs.search.job import evolve
    from efn_compose.jobs.search.preparation import STORED, prepare
    from efn_compose.jobs.search.quickstart import or_quickstart

    def images(config: str | None, overrides: list[str]) -> Mapping[str, str]:
        data = prepare(config, overrides).data
        found: dict[str, str] = {}
        for part in ("train", "validation", "test"):
            numbers = getattr(data.split, part)
            digests = pixel_digests(getattr(data, f"{part}_images"), False)
            found |= {f"image {n}": d for n, d in zip(numbers, digests, strict=True)}
        return found

    def run(
        config: str | None, overrides: list[str], resume: bool, quiet: bool, deadline: "Deadline"
    ) -> Any:
        return evolve(config, overrides, resume=resume, quiet=quiet)

    return RelayedJob(
        stored=STORED,
        files=("donors.files",),
        sources=("data.source", "data.folder"),
        images=images,
        run=run,
        file=or_quickstart,
    )


def _without(home: str, name: str) -> str:
    """Return an image's name without the folder that all images lie in, which is another one there."""
    folder = Path(home)
    for start in (folder, folder.parent):
        if start.is_dir() and Path(name).is_relative_to(start):
            return Path(name).relative_to(start).as_posix()
    return name
