"""Joint networks on disk: files that plain Keras loads, with what is needed to take members out again."""

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, WeightFileError
from efn_compose.store.weights.weight_header import WeightHeader

if TYPE_CHECKING:
    import keras

    from efn_compose.models.ensemble import Member

#: The file within Keras' archive; Keras passes it over.
_ENTRY, _VERSION, SUFFIX = "efn_compose.json", 1, ".keras"


def write_joint(
    path: str | os.PathLike[str],
    model: "keras.Model",
    members: "Sequence[Member]",
    donors: Sequence[Donor],
) -> None:
    """Write a joint network; an old file stands until the new one is whole.

    Args:
        path: Ends in `.keras`.
        model: The network.
        members: Its members.
        donors: Where each came from.

    Raises:
        ConfigError: Another ending.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ConfigError(f"{path}: a joint network is written as NAME{SUFFIX}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{SUFFIX}")
    fields = [
        {
            "name": member.name,
            "size": member.size,
            "donor": donor.name,
            "header": donor.header.to_json(),
        }
        for member, donor in zip(members, donors, strict=True)
    ]
    try:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_ENTRY, json.dumps({"version": _VERSION, "members": fields}))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_joint(
    path: str | os.PathLike[str],
) -> "tuple[keras.Model, tuple[Member, ...], tuple[WeightHeader, ...], tuple[str, ...]]":
    """Read what `write_joint` wrote: the model, members, their headers and their donors' names.

    Raises:
        WeightFileError: No such file, not a joint network, or damaged.
    """
    import keras

    from efn_compose.models.ensemble import Member

    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            stated = json.loads(archive.read(_ENTRY))
        if stated["version"] != _VERSION:
            raise WeightFileError(f"{path}: written by a later version of efn_compose.")
        fields = stated.get("members", stated.get("branches"))  # of files written before
        headers = tuple(WeightHeader.from_json(one["header"]) for one in fields)
        members = tuple(
            Member(one["name"], header.spec, header.conventions, one["size"])
            for one, header in zip(fields, headers, strict=True)
        )
        names = tuple(str(one["donor"]) for one in fields)
        model = keras.models.load_model(path)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise WeightFileError(
            f"{path}: not a joint network written by `JointNetwork.save` ({error})."
        ) from None
    return model, members, headers, names
