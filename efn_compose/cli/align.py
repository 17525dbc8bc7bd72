"""`efn-compose align`: write donors in the channel order of one of them.

Independently trained donors must be aligned before their layers can be mixed. Give some hundred
images, without labels, like those of later trainings. Classifiers are left out.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efn_compose.cli.shared.arguments import add_output, add_seed
from efn_compose.cli.shared.images import add_image_arguments, read_images
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError, RunError

if TYPE_CHECKING:
    from efn_compose.donors import Donor

EXAMPLE = "efn-compose align mine.h5 theirs.pth --images folder:photos --size 128 -o aligned/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="weight files or package:NAME; NAME=FILE names one"
    )
    add_image_arguments(parser, "fit the alignment on them", count=200, is_required=True)
    add_output(parser, "gets one .h5 file per donor", metavar="FOLDER", required=True)
    parser.add_argument("--variant", default="", help="nest all donors into this network first")
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="donor whose order of channels the others take; default: the first",
    )
    parser.add_argument(
        "--method",
        choices=("procrustes", "whitened", "linear", "permutation"),
        default="procrustes",
        help="map of the residual streams, default: %(default)s",
    )
    parser.add_argument(
        "--cache",
        metavar="FOLDER",
        help="keeps aligned donors, found again by the hashes of donors and images; "
        "default: .cache in the output folder",
    )
    add_seed(parser, "seed of the positions that are compared")


def run(options: argparse.Namespace, output: Output) -> None:
    """Align and write the donors."""
    from efn_compose.donors.alignment.align import align
    from efn_compose.jobs.donor_entries import load_donors, split_entry
    from efn_compose.nesting.to_file import refuse_same_file

    donors = load_donors(options.files, options.variant)
    reference = _number_of(options.reference, donors)
    folder = Path(options.output)
    for file in options.files:
        source = Path(split_entry(file)[1]).expanduser()
        for donor in donors:
            refuse_same_file(source, folder / f"{donor.name}.h5")
    images, _ = read_images(options.images, options, output)
    cache = Path(options.cache) if options.cache else folder / ".cache"
    for needed in (folder, cache):
        try:
            needed.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{needed}: cannot be created ({error.strerror}).") from None
    alignment = align(
        donors, images, reference=reference, method=options.method, seed=options.seed, cache=cache
    )
    paths = [folder / f"{donor.name}.h5" for donor in alignment.donors]
    for donor, path in zip(alignment.donors, paths, strict=True):
        donor.save(path)
    fields = {
        "reference": donors[reference].name,
        "images": len(images),
        "donors": {
            donor.name: {
                "file": str(path),
                "cached": donor.name in alignment.reused,
                "matches": alignment.by_kind(donor.name),
            }
            for donor, path in zip(alignment.donors, paths, strict=True)
        },
    }
    output.result(fields, "\n".join(_text(fields)))


def _number_of(name: str | None, donors: "list[Donor]") -> int:
    names = [donor.name for donor in donors]
    if name is None:
        return 0
    if name not in names:
        raise ConfigError(f"--reference {name!r} is no donor. Donors: {', '.join(names)}.")
    return names.index(name)


def _text(fields: dict[str, Any]) -> list[str]:
    lines = [f"in the basis of {fields['reference']}, fitted on {fields['images']} images"]
    for name, donor in fields["donors"].items():
        lines.append(f"{donor['file']}{' (found in the cache)' * donor['cached']}")
        if not donor["matches"]:
            same = "the reference" if name == fields["reference"] else "of the reference's lineage"
            lines.append(f"  unchanged: {same}")
        lines += [
            f"  {kind}: {match['groups']} groups, mean match "
            f"{match['before']:.3f} before, {match['after']:.3f} after"
            for kind, match in donor["matches"].items()
        ]
    return lines
