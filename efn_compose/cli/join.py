"""`efn-compose join`: several networks in one trainable Keras model, on one raw image.

Each member scales and resizes the image for itself. Their pooled features stand side by side under one
classifier. Where all files have a classifier of its width, the model begins as the sum of their logits.
Plain Keras loads, trains and saves the file; `efn_compose.load_joint` takes members out again.
"""

import argparse

from efn_compose.cli.shared.arguments import add_output, add_seed
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose join b0.h5 b2.h5 --classes 9 -o joint.keras"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="two or more weight files (.h5)")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="width of the classifier; default: the files' own"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", metavar="N",
        help="pixels that each member wants; default: images as they come",
    )  # fmt: skip
    parser.add_argument(
        "--member-dropout", type=float, default=0.2, metavar="P",
        help="probability that an image does without a member, in training",
    )  # fmt: skip
    parser.add_argument(
        "--auxiliary", action="store_true", help="give each member a classifier of its own as well"
    )
    add_seed(parser, "seed of a new classifier's weights", default=1)
    add_output(parser, "the .keras file to write", required=True)


def run(options: argparse.Namespace, output: Output) -> None:
    """Write the joint network and describe it."""
    from efn_compose.donors import load_donor
    from efn_compose.jobs.ensembles.joint import join

    joint = join(
        [load_donor(file) for file in options.files],
        options.classes,
        sizes=options.sizes,
        member_dropout=options.member_dropout,
        auxiliary=options.auxiliary,
        seed=options.seed,
    )
    joint.save(options.output)
    fields = {
        "file": options.output,
        "members": {member.name: member.spec.variant for member in joint.members},
        "features": sum(member.spec.feature_channels for member in joint.members),
        "parameters": joint.model.count_params(),
    }
    output.result(
        fields,
        f"{options.output}: {', '.join(fields['members'])}; {fields['features']:,} features, "
        f"{fields['parameters']:,} parameters",
    )
