"""What a foreign checkpoint cannot tell by itself: the options that `convert` and `inspect` share."""

import argparse

from efn_compose.checkpoints.dialects.dialect import RequestOptions


def add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    from converters.registry import DIALECT_NAMES

    parser.add_argument("--dialect", metavar="NAME", help=f"one of {', '.join(DIALECT_NAMES)}")
    parser.add_argument(
        "--arch",
        help="the network, where tensors cannot tell: b0, or tf_efficientnet_b0.ns_jft_in1k",
    )
    parser.add_argument(
        "--raw", action="store_true", help="the raw weights instead of the averaged (EMA) ones"
    )
    parser.add_argument(
        "--prefix", help="prefix of the network's names, where the file holds several networks"
    )
    parser.add_argument(
        "--channels", choices=("sum",), help="sum: fold a grey stem to RGB, as timm does"
    )
    parser.add_argument(
        "--accept",
        metavar="FIELD",
        action="append",
        default=[],
        help="a field of the file that does not change the network; may be repeated",
    )


def checkpoint_options(options: argparse.Namespace) -> RequestOptions:
    """Return what was given."""
    return {
        "dialect": options.dialect,
        "arch": options.arch,
        "ema": not options.raw,
        "prefix": options.prefix,
        "channels": options.channels,
        "accepted": tuple(options.accept),
    }
