"""`efn-compose attach`: put a decoder on a network, which makes it a U-Net.

The network and its classifier stay bit for bit as they are, so that `detach` gives them back. The
decoder reads the network's residual streams at every stride. Train it with
`efn-compose train --task segment`.
"""

import argparse

from efn_compose.cli.shared.arguments import add_output, add_seed
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose attach b0.h5 --outputs 2 -o unet.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", metavar="FILE", help="a weight file or package:NAME")
    parser.add_argument(
        "--decoder",
        default="classic",
        choices=("classic", "mirror"),
        help="convolutions with 256 to 16 channels (default), or the network's stages in reverse",
    )
    parser.add_argument("--outputs", type=int, default=2, metavar="N", help="classes of a pixel")
    parser.add_argument(
        "--no-skips", action="store_true", help="read the coarsest feature map alone"
    )
    parser.add_argument(
        "--repeats",
        default="one",
        choices=("one", "all"),
        help="blocks per step of a mirror: one, or all that the stage has",
    )
    add_seed(parser, "seed of the decoder's first weights", default=1)
    add_output(parser, "the .h5 file to write", required=True)


def run(options: argparse.Namespace, output: Output) -> None:
    """Write the U-Net and describe it."""
    from efn_compose.jobs.decoders import attach

    made = attach(
        options.file,
        options.output,
        kind=options.decoder,
        outputs=options.outputs,
        skips=not options.no_skips,
        repeats=options.repeats,
        seed=options.seed,
    )
    fields = {
        "file": str(made.file),
        "variant": made.variant,
        "decoder": made.decoder.to_json(),
        "decoder_tensors": made.decoder_tensors,
        "decoder_parameters": made.decoder_parameters,
    }
    output.result(
        fields,
        f"{made.file}: {made.variant} with a {made.decoder.kind} decoder of "
        f"{made.decoder_parameters:,} parameters, {made.decoder.outputs} outputs",
    )
