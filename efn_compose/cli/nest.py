"""`efn-compose nest`: a weight file into a larger network's file.

The larger network computes the same function at first. One tensor is in memory at a time, so
L3 (1.5 billion parameters) needs no large machine.
"""

import argparse
from typing import TYPE_CHECKING, Any

from efn_compose.cli.images import add_image_arguments, read_images
from efn_compose.cli.output import Output

if TYPE_CHECKING:
    from efn_compose.store import WeightHeader

EXAMPLE = "efn-compose nest efn_magic_weights.h5 --into b5 -o b5.h5 --verify"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", help="weight file of the small network")
    add_nesting_arguments(parser)


def add_nesting_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `nest` and `direct-sum` share."""
    parser.add_argument("--into", required=True, metavar="VARIANT", help="such as b5, lite4, l3")
    parser.add_argument("-o", "--output", required=True, help="weight file to write (.h5)")
    parser.add_argument(
        "--fill",
        choices=("he", "replicate", "zero"),
        default="he",
        help="what new channels start from, default: %(default)s",
    )
    parser.add_argument(
        "--extra-repeats",
        choices=("end", "interleaved"),
        default="end",
        help="where new blocks go in a stage, default: %(default)s",
    )
    parser.add_argument(
        "--positions",
        choices=("leading", "random"),
        default="leading",
        help="where the donor's channels go, default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "float64"),
        default="float32",
        help="of the file, default: %(default)s",
    )
    add_image_arguments(parser, "calibrate the new channels' BatchNorm on them", count=32)
    parser.add_argument(
        "--verify", action="store_true", help="run both networks and compare (slow when large)"
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Nest, and verify where asked."""
    from efn_compose.nesting import nest_to_file

    return nest_and_report([options.file], options, output, nest_to_file, options.file)


def nest_and_report(
    files: list[str],
    options: argparse.Namespace,
    output: Output,
    write: Any,
    source: Any,
    **extra: Any,
) -> int:
    """Write the large file, verify it where asked, and say what was done.

    Args:
        files: The donors' weight files.
        options: The parsed arguments.
        output: Where words go.
        write: `nest_to_file` or `direct_sum_to_file`.
        source: Its first argument.
        extra: Further arguments for it.

    Returns:
        0, or 1 where verification found a difference.
    """
    from efn_compose.arch import arch_spec, inventory

    spec = arch_spec(options.into)
    images = None
    if options.images:
        images = read_images(
            options.images,
            options.image_count,
            options.size,
            seed=options.seed,
            show_progress=not output.is_quiet,
        )
    total = sum(tensor.size for tensor in inventory(spec, None)) * (int(options.dtype[5:]) // 8)
    with output.byte_progress(f"Writing {options.output}", total) as progress:
        header = write(
            source,
            spec,
            options.output,
            dtype=options.dtype,
            progress=progress,
            images=images,
            fill=options.fill,
            extra_repeats=options.extra_repeats,
            positions=options.positions,
            seed=options.seed,
            **extra,
        )
    fields, lines = _describe(header, files, options.output)
    is_equal = True
    if options.verify:
        is_equal = _verify(options, files, extra.get("weights"), fields, lines)
    output.result(fields, "\n".join(lines))
    return 0 if is_equal else 1


def _describe(
    header: "WeightHeader", files: list[str], path: str
) -> tuple[dict[str, Any], list[str]]:
    parameters = sum(tensor.size for tensor in header.tensors)
    fields = {
        "output": path,
        "variant": header.spec.variant,
        "donors": files,
        "classes": header.classes,
        "values": parameters,
        "bytes": header.byte_count,
        "dtype": header.dtype,
    }
    classes = f"{header.classes} classes" if header.classes else "no classifier"
    lines = [
        f"{path}: {header.spec.variant}, {classes}, {parameters:,} values, "
        f"{header.byte_count / 1e6:,.1f} MB, from {', '.join(files)}"
    ]
    return fields, lines


def _verify(
    options: argparse.Namespace,
    files: list[str],
    weights: Any,
    fields: dict[str, Any],
    lines: list[str],
) -> bool:
    from contextlib import ExitStack

    from efn_compose.nesting import verify_nesting
    from efn_compose.nesting.verify import TOLERANCES
    from efn_compose.store import WeightFile

    with ExitStack() as stack:
        large = stack.enter_context(WeightFile(options.output))
        donors = [stack.enter_context(WeightFile(file)) for file in files]
        check = verify_nesting(large, donors, weights=weights)
    tolerance = TOLERANCES[options.dtype]
    is_equal = check.relative <= tolerance
    fields["verification"] = {
        "relative_difference": check.relative,
        "tolerance": tolerance,
        "is_equal": is_equal,
    }
    verdict = "equal" if is_equal else f"DIFFERENT (tolerance {tolerance:.0e})"
    lines.append(f"  verified: {verdict}; {check.describe()}")
    return is_equal
