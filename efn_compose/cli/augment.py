"""`efn-compose augment`: a picture of your images as the network will see them.

The contact sheet has a row per image: the image as it is, each part of the augmentation
alone, then the image of each epoch. Draws depend on the seed, the epoch and the image's number. A
training numbers the images of its own part, so its draws are of this kind and not these very ones.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from efn_compose.cli.shared.arguments import SOURCES, add_overrides, add_seed
from efn_compose.cli.shared.images import add_table_arguments, read_table
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError
from efn_compose.train.augment.options import AugmentOptions

EXAMPLE = "efn-compose augment folder:photos --preview sheet.png --set rotation=30 hue=0.05 holes=2"


@dataclass(frozen=True)
class _Sections:
    augment: AugmentOptions = field(default_factory=AugmentOptions)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help=f"images: {SOURCES}",
    )
    add_table_arguments(parser)
    parser.add_argument(
        "--preview", required=True, metavar="FILE", help="picture to write, for example sheet.png"
    )
    parser.add_argument("--config", metavar="TOML", help="take the [augment] section of this file")
    add_overrides(parser, "settings of [augment], for example rotation=30", metavar="KEY=VALUE")
    parser.add_argument("--images", type=int, default=6, help="rows, default: %(default)s")
    parser.add_argument("--draws", type=int, default=4, help="epochs, default: %(default)s")
    parser.add_argument("--size", type=int, default=96, help="pixels, default: %(default)s")
    add_seed(parser, "seed of images and draws")
    parser.add_argument("--mixup", type=float, default=0.0, metavar="ALPHA", help="show MixUp too")
    parser.add_argument(
        "--cutmix", type=float, default=0.0, metavar="ALPHA", help="show CutMix too"
    )
    parser.add_argument("--augmix", action="store_true", help="show AugMix too")


def run(options: argparse.Namespace, output: Output) -> None:
    """Draw the sheet and write it."""
    from efn_compose.config import load_config
    from efn_compose.data.decoding.decode import resize_images
    from efn_compose.data.draw import images_of_all_classes
    from efn_compose.store.atomic import atomic_path
    from efn_compose.train.augment.contact_sheet import draw_sheet, sheet_columns
    from efn_compose.train.augment.parts import parts_of
    from efn_compose.train.augment.policies.sheet import operation_columns

    path = Path(options.preview)
    _check(options, path)
    overrides = [
        word if word.startswith("augment.") else f"augment.{word}" for word in options.overrides
    ]
    config = load_config(options.config, overrides, _Sections, passes_over_others=True)
    table = read_table(options.source, options, output)
    chosen = images_of_all_classes(table.labels, options.images, options.seed)
    images = resize_images(table.images, chosen, options.size, not output.is_quiet)
    columns = sheet_columns(
        images,
        chosen,
        config.augment,
        draws=options.draws,
        seed=options.seed,
        mixup=options.mixup,
        cutmix=options.cutmix,
        augmix=options.augmix,
    )
    if config.augment.auto != "none":
        columns[1:1] = operation_columns(images, config.augment.auto)
    parts = parts_of(config.augment)
    labels = [f"{table.class_names[table.labels[n]]} — image {n}" for n in chosen]
    title = f"{table.name}, {options.size} px, seed {options.seed}"
    legend = [f"{part.caption}: {part.help}" for part in parts]
    sheet = draw_sheet(columns, labels, title, legend)
    with atomic_path(path) as temporary:
        kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        sheet.save(temporary, format=kind, quality=80, optimize=True)
    fields = {
        "file": str(path),
        "images": chosen.tolist(),
        "columns": [column.caption for column in columns],
        "parts": {part.name: part.caption for part in parts},
    }
    shown = ", ".join(part.caption for part in parts) or "nothing is on"
    output.result(fields, f"{path}: {len(chosen)} images of {table.name}; {shown}")


def _check(options: argparse.Namespace, path: Path) -> None:
    problems = [
        f"{name} must be {low} to {high}, not {value}"
        for name, value, low, high in (
            ("--images", options.images, 1, 64),
            ("--draws", options.draws, 1, 64),
            ("--size", options.size, 8, 1024),
            ("--mixup", options.mixup, 0, 100),
            ("--cutmix", options.cutmix, 0, 100),
        )
        if not low <= value <= high
    ]
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        problems.append(f"--preview must end in .png or .jpg, not {path.name!r}")
    if problems:
        raise ConfigError("; ".join(problems) + ".")
