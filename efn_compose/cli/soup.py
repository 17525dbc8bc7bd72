"""`efn-compose soup`: several fine-tunings of one checkpoint averaged into one network.

Without images, BatchNorm statistics are pooled and nothing is compared. With images, statistics
are re-estimated, and greedy and learned soups become possible. A verdict then compares the soup with
the best network alone, on images that no choice was made by. Take images that no network was
trained on.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efn_compose.cli.shared.arguments import SOURCES, add_dry_run, add_output, add_seed
from efn_compose.cli.shared.images import add_table_arguments
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError, SplitError

if TYPE_CHECKING:
    from efn_compose.data import DataOptions
    from efn_compose.jobs.soup.job import Soup
    from efn_compose.jobs.soup.preparation import Ingredients

EXAMPLE = (
    "efn-compose soup a.h5 b.h5 c.h5 --method greedy --data folder:photos --size 128 -o soup.h5"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="two or more weight files of one network and one lineage; NAME=FILE names one",
    )
    add_output(parser, "the .h5 file to write", required=True)
    parser.add_argument(
        "--method",
        choices=("uniform", "greedy", "learned", "stock"),
        default="uniform",
        help="uniform: the mean; greedy: networks join while the validation loss does not rise; "
        "learned: shares per segment by gradient; stock: the mean drawn towards the common "
        "ancestor. Default: %(default)s",
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help=f"labelled images: {SOURCES}; greedy and learned need some",
    )
    add_table_arguments(parser)
    parser.add_argument(
        "--size",
        type=int,
        default=64,
        help="pixels; take the size the networks were trained at. Default: %(default)s",
    )
    parser.add_argument(
        "--image-count",
        type=int,
        default=0,
        metavar="N",
        help="images to draw at random, 60 %% to train, 20 %% to validate, 20 %% to test; "
        "default: all",
    )
    parser.add_argument(
        "--ancestor",
        metavar="FILE",
        help="stock: the checkpoint that all files were fine-tuned from; default: the source that "
        "they name",
    )
    add_seed(parser, "seed of the split and of learning")
    add_dry_run(parser, "check everything, say what would be done, and stop")


def run(options: argparse.Namespace, output: Output) -> None:
    """Mix, judge and write the soup."""
    from efn_compose.jobs.soup.job import cook
    from efn_compose.jobs.soup.preparation import prepare_soup

    _check_output(options)
    data = _data(options)
    try:
        ingredients = prepare_soup(
            options.files,
            method=options.method,
            data=data,
            ancestor=options.ancestor,
            seed=options.seed,
            show_progress=not output.is_quiet,
        )
    except SplitError as error:
        # The settings that it names are not this verb's.
        asked = f" Received: {options.image_count}." if options.image_count else ""
        raise SplitError(
            f"{error}\nHere --image-count N stands for all three: 60 %, 20 % and 20 % of N images; "
            f"without it all images are drawn.{asked}"
        ) from None
    for words in ingredients.notes:
        output.note(words)
    if options.dry_run:
        plan = _plan(ingredients)
        output.result(plan, _plan_text(plan))
        return
    soup = cook(ingredients, output.note)
    soup.save(options.output)
    fields = {
        "file": str(options.output),
        **soup.recipe,
        "overall": dict(zip(soup.members, soup.overall, strict=True)),
        "scores": {
            name: {"loss": score.loss, "accuracy": score.accuracy}
            for name, score in soup.scores.items()
        },
        "licence": soup.donor.provenance["licence"],
    }
    output.result(fields, _text(soup, str(options.output)))


def _check_output(options: argparse.Namespace) -> None:
    """Refuse to overwrite an input file, before anything is computed."""
    from efn_compose.jobs.donor_entries import split_entry

    target = Path(options.output).resolve()
    read = [split_entry(file)[1] for file in [*options.files, options.ancestor or ""]]
    if any(file and Path(file).resolve() == target for file in read):
        raise ConfigError(f"-o {options.output} would replace a file that is read. Name another.")
    if target.is_dir():
        raise ConfigError(f"-o {options.output}: a folder. Name a file in it.")
    if not target.parent.is_dir():
        raise ConfigError(f"-o {options.output}: the folder {target.parent} does not exist.")


def _data(options: argparse.Namespace) -> "DataOptions | None":
    from efn_compose.data import DataOptions
    from efn_compose.data.split import part_counts

    if options.data is None:
        if options.image_count:
            raise ConfigError("--image-count draws from --data SOURCE, which is missing.")
        return None
    if options.size < 8 or options.image_count < 0:
        raise ConfigError(
            "--size must be 8 or more and --image-count 0 or more. "
            f"Received: {options.size}, {options.image_count}."
        )
    train, validation, test = part_counts(options.image_count, (0, 0, 0))
    return DataOptions(
        source=options.data,
        columns=tuple(options.columns),
        folder=options.image_folder,
        size=options.size,
        train_images=train,
        validation_images=validation,
        test_images=test,
    )


def _plan(ingredients: "Ingredients") -> dict[str, Any]:
    data, ancestor = ingredients.data, ingredients.ancestor
    return {
        "method": ingredients.method,
        "network": ingredients.donors[0].spec.variant,
        "networks": [donor.name for donor in ingredients.donors],
        "classes": ingredients.donors[0].classes,
        "ancestor": None if ancestor is None else ancestor.name,
        "images": None
        if data is None
        else {
            part: len(getattr(data, f"{part}_labels")) for part in ("train", "validation", "test")
        },
        "notes": list(ingredients.notes),
    }


def _plan_text(plan: dict[str, Any]) -> str:
    lines = [
        f"method    {plan['method']}",
        f"network   {plan['network']}, "
        + ("no classifier" if plan["classes"] is None else f"{plan['classes']} classes"),
        f"networks  {', '.join(plan['networks'])}: one lineage",
    ]
    if plan["ancestor"] is not None:
        lines.append(f"ancestor  {plan['ancestor']}")
    images = plan["images"]
    lines.append(
        "images    none: statistics are pooled, nothing is compared"
        if images is None
        else f"images    {', '.join(f'{part} {count:,}' for part, count in images.items())}"
    )
    return "\n".join([*lines, "Nothing was written."])


def _text(soup: "Soup", file: str) -> str:
    width = max(len(name) for name in (*soup.members, "network", "soup"))
    lines = [
        f"{file}: {soup.method} soup of {len(soup.members)} networks, {soup.donor.spec.variant}"
    ]
    heads = f"  {'network':<{width}}  share" + ("    loss  accuracy" if soup.scores else "")
    rows = [*zip(soup.members, soup.overall, strict=True)]
    if soup.scores:
        rows.append(("soup", 1.0))
    lines.append(heads)
    for name, share in rows:
        line = f"  {name:<{width}}  {share:5.3f}"
        if name in soup.scores:
            score = soup.scores[name]
            line += f"  {score.loss:6.4f}  {100 * score.accuracy:6.1f} %"
        lines.append(line)
    lines.append(f"BatchNorm statistics: {soup.batch_norm}.")
    if soup.verdict is None:
        lines.append(
            "No images were given, so nothing was compared. Train on, or re-estimate the "
            "statistics and compare: --data SOURCE."
        )
        return "\n".join(lines)
    judged = {
        "own": "Judged by the networks' own classifiers.",
        "ridge": "Judged by a ridge classifier fitted to each network's features of training "
        "images, since not all networks have a classifier of the data's classes.",
    }
    return "\n".join([*lines, judged[soup.classifier], soup.verdict.words])
