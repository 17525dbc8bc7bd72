"""The networks and images of a soup, checked and loaded before anything is written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from efn_compose.arch import parameter_count
from efn_compose.data import DataOptions, DataSet, load_data
from efn_compose.donors import Donor
from efn_compose.donors.harmonise import harmonise
from efn_compose.donors.lineage import lineages
from efn_compose.donors.seen_images import seen_notes
from efn_compose.errors import (
    ConfigError,
    EfnComposeError,
    IncompatibleDonorsError,
    describe_problems,
)
from efn_compose.jobs.donor_entries import distinct_names, load_entries, load_entry

Method = Literal["uniform", "greedy", "learned", "stock"]
METHODS: tuple[str, ...] = get_args(Method)
#: The name of the average beside its members.
SOUP = "soup"
#: Methods that choose or learn, and so need images.
NEED_DATA = ("greedy", "learned")


@dataclass(frozen=True)
class Ingredients:
    """Everything a soup is made of.

    Args:
        method: How it is mixed.
        donors: Harmonised networks of one lineage, with their classifiers where all have one of
            the same width.
        ancestor: The checkpoint they were fine-tuned from, for "stock".
        data: Images that judge, choose and teach; None without any.
        seed: Decides the split of the images and what is learned.
    """

    method: Method
    donors: tuple[Donor, ...]
    ancestor: Donor | None
    data: DataSet | None
    seed: int

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what the source holds beside the images that judge."""
        if self.data is None:
            return ()
        notes = *self.data.notes, *seen_notes(self.donors, self.data.judging)
        known = other_classes(self.donors, self.data)
        if not known:
            return notes
        return (
            *notes,
            f"the networks know {', '.join(known[:5])}, and the images are of "
            f"{', '.join(self.data.class_names[:5])}: a ridge classifier judges, not the networks' own",
        )


def other_classes(donors: Sequence[Donor], data: DataSet) -> tuple[str, ...]:
    """Return the classes that the networks' classifiers know, where the images' are others.

    Args:
        donors: The networks, harmonised. Files that do not name their classes are passed over.
        data: The images.
    """
    for donor in donors:
        known = donor.trained_for.class_names
        if known and known != tuple(data.class_names):
            return known
    return ()


def prepare_soup(
    donors: Sequence[str | os.PathLike[str] | Donor],
    *,
    method: Method = "uniform",
    data: DataOptions | DataSet | None = None,
    ancestor: str | os.PathLike[str] | Donor | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> Ingredients:
    """Load and check donors, ancestor and images; writes nothing.

    Args:
        donors: Two or more weight files, or donors; "NAME=FILE" names one.
        method: "uniform", "greedy", "learned" or "stock".
        data: Labelled images; "greedy" and "learned" need some.
        ancestor: For "stock"; None looks for the source that all donors name.
        seed: Decides the split of the images and what is learned.
        show_progress: Show a bar on a terminal when decoding takes long.

    Raises:
        EfnComposeError: Anything that would stop the soup later.
    """
    _check_request(method, len(donors), data, ancestor)
    loaded = distinct_names(_load_all(donors), _is_the_soups)
    for donor in loaded:
        donor.refuse_parts("a soup")
    loaded = harmonise(loaded)
    _refuse_equals(loaded)
    _refuse_strangers(loaded)
    found = _find_ancestor(loaded, ancestor) if method == "stock" else None
    if isinstance(data, DataOptions):
        data = load_data(data, seed, show_progress=show_progress)
    return Ingredients(method, tuple(loaded), found, data, seed)


def _check_request(method: str, count: int, data: object | None, ancestor: object | None) -> None:
    problems = []
    if method not in METHODS:
        problems.append(f"- method: allowed {', '.join(METHODS)}. Received: {method!r}.")
    if count < 2:
        problems.append(f"- a soup needs two networks or more. Received: {count}.")
    if method in NEED_DATA and data is None:
        problems.append(
            f"- method {method!r} needs labelled images that no donor was trained on: "
            "--data folder:PATH, csv:PATH, npz:PATH, digits or fashion_mnist."
        )
    if ancestor is not None and method != "stock":
        problems.append(f"- an ancestor is read by method 'stock' alone. Received: {method!r}.")
    if problems:
        raise ConfigError(describe_problems("This soup cannot be made.", problems))


def _named(donors: Sequence[str | os.PathLike[str] | Donor]) -> list[str | Donor]:
    """Give files of one name the names of their folders: every training writes a `best.h5`."""
    entries = [entry if isinstance(entry, Donor) else os.fspath(entry) for entry in donors]
    files = [entry for entry in entries if isinstance(entry, str)]
    stems = [Path(file).stem for file in files]
    return [
        f"{Path(entry).absolute().parent.name}_{Path(entry).stem}={entry}"
        if isinstance(entry, str) and "=" not in entry and stems.count(Path(entry).stem) > 1
        else entry
        for entry in entries
    ]


def _is_the_soups(name: str) -> bool:
    return name == SOUP


def _load_all(donors: Sequence[str | os.PathLike[str] | Donor]) -> list[Donor]:
    loaded = load_entries(_named(donors), _is_the_soups, "networks")
    different = sorted({donor.spec.variant for donor in loaded})
    if len(different) > 1:
        largest = max((donor.spec for donor in loaded), key=parameter_count).variant
        raise IncompatibleDonorsError(
            describe_problems(
                f"A soup averages networks of one shape. These are of {len(different)}:",
                [f"- {donor.name}: {donor.spec.variant}" for donor in loaded],
                "Nest the smaller ones into the largest first: efn-compose nest FILE --into "
                f"{largest} -o OUT.h5. Only fine-tunings of one checkpoint can be averaged.",
            )
        )
    return loaded


def _refuse_equals(donors: Sequence[Donor]) -> None:
    first: dict[str, str] = {}
    problems = []
    for donor in donors:
        if donor.fingerprint in first:
            problems.append(f"- {first[donor.fingerprint]} and {donor.name}")
        first.setdefault(donor.fingerprint, donor.name)
    if problems:
        raise ConfigError(
            describe_problems("Networks that are equal count twice:", problems, "Name each once.")
        )


def _refuse_strangers(donors: Sequence[Donor]) -> None:
    groups = lineages(donors)
    if len(groups) < 2:
        return
    raise IncompatibleDonorsError(
        describe_problems(
            "A soup averages networks that descend from one training; the average of others is "
            f"no better than chance. These are of {len(groups)} lineages:",
            ["- " + ", ".join(donors[number].name for number in group) for group in groups],
            "Average one lineage. To mix lineages layer by layer instead, write them in one "
            "basis and search: efn-compose align FILE… --images SOURCE -o FOLDER, then "
            "efn-compose evolve --donors FOLDER/*.h5",
        )
    )


def _find_ancestor(donors: Sequence[Donor], given: str | os.PathLike[str] | Donor | None) -> Donor:
    """Return the ancestor, harmonised with its fine-tunings.

    Raises:
        ConfigError: None is given and the donors name none, or it is one of them.
        IncompatibleDonorsError: It is of another network or lineage.
    """
    if given is None:
        given = _named_source(donors)
    ancestor = given if isinstance(given, Donor) else load_entry(os.fspath(given))
    reference = donors[0]
    if ancestor.classes != reference.classes:
        ancestor, reference = ancestor.without_head(), reference.without_head()
    ancestor = harmonise([reference, ancestor])[1]
    if ancestor.without_head().fingerprint in {d.without_head().fingerprint for d in donors}:
        raise ConfigError(
            f"The ancestor, {ancestor.name}, is one of the networks to average. Name the "
            "checkpoint that all of them were fine-tuned from with --ancestor FILE."
        )
    if len(lineages([*donors, ancestor])) > 1:
        raise IncompatibleDonorsError(
            f"{ancestor.name} is no ancestor of these networks: their filters have nothing in "
            "common. Name the checkpoint that all were fine-tuned from with --ancestor FILE."
        )
    return ancestor


def _named_source(donors: Sequence[Donor]) -> Donor:
    """Return the checkpoint that all donors name as their source."""
    named = {(d.provenance.get("source"), d.provenance.get("sha256")) for d in donors}
    advice = "Name it with --ancestor FILE."
    if len(named) != 1 or not isinstance(source := next(iter(named))[0], str):
        raise ConfigError(
            "Method 'stock' needs the checkpoint that all networks were fine-tuned from, and "
            f"their files do not name one source. {advice}"
        )
    try:
        ancestor = load_entry(source)
    except EfnComposeError as error:
        raise ConfigError(
            f"The networks name {source} as their source, which cannot be read. {advice}\n  {error}"
        ) from None
    recorded = next(iter(named))[1]
    if recorded and ancestor.provenance.get("sha256") != recorded:
        raise ConfigError(
            f"The networks name {source} as their source, but that file has changed since "
            f"(SHA-256). {advice}"
        )
    return ancestor.replace(name=Path(source.rpartition(":")[2]).stem)
