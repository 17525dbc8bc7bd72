"""What `nest`, `direct-sum` and `shrink` have in common: the file they write, and the check of it."""

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec, parameter_count
from efn_compose.cli.shared.arguments import add_output, add_seed
from efn_compose.cli.shared.output import Output
from efn_compose.donors import Donor
from efn_compose.errors import NestingError
from efn_compose.nesting.running.verify_file import FileCheck, verify_file
from efn_compose.store import WeightFile, WeightHeader


def add_target(parser: argparse.ArgumentParser, into: str) -> None:
    """Declare the network to make, the file to write, and the type of its tensors."""
    parser.add_argument("--into", required=True, metavar="VARIANT", help=into)
    add_output(parser, "file to write (.h5)", metavar="OUT", required=True)
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "float16", "bfloat16", "float64"),
        help="type of the stored tensors (other libraries read bfloat16 as float32)",
    )


def add_placement(parser: argparse.ArgumentParser) -> None:
    """Declare where networks are placed in the larger one, and whether that is checked."""
    parser.add_argument(
        "--verify", action="store_true", help="run the networks in float64 and compare"
    )
    parser.add_argument(
        "--extra-repeats",
        default="end",
        choices=("end", "interleaved"),
        help="place of the blocks that a stage has more: after the others, or among them",
    )
    parser.add_argument(
        "--positions",
        default="leading",
        choices=("leading", "random"),
        help="channels of the large network that take the small one's; default: the first",
    )
    add_seed(parser, "seed of random values and positions")


def placement(options: argparse.Namespace) -> dict[str, Any]:
    """Return where networks are placed, as the functions of nesting take it."""
    return {
        "extra_repeats": options.extra_repeats,
        "positions": options.positions,
        "seed": options.seed,
    }


def byte_count(spec: ArchSpec, dtype: str) -> int:
    """Return about how many bytes a network's file has."""
    return {"float64": 8, "float32": 4}.get(dtype, 2) * parameter_count(spec)


def describe_file(path: str, header: WeightHeader) -> tuple[dict[str, Any], str]:
    """Return what was written, for machines and in one line for people."""
    fields: dict[str, Any] = {
        "output": path,
        "variant": header.spec.variant,
        "parameters": parameter_count(header.spec, header.classes),
        "bytes": Path(path).stat().st_size,
        "dtype": header.dtype,
        "classes": header.classes,
    }
    return fields, (
        f"{path}: {fields['variant']}, {fields['parameters']:,} parameters, "
        f"{fields['bytes'] / 1e6:,.1f} MB, {header.dtype}"
    )


def report_nested(
    options: argparse.Namespace,
    output: Output,
    header: WeightHeader,
    sources: Sequence[str | Donor],
    shares: Sequence[float],
    images: np.ndarray | None,
) -> None:
    """Say what was written and, with `--verify`, how near it is to its donors.

    Raises:
        NestingError: It is not near enough.
    """
    fields, line = describe_file(options.output, header)
    if not options.verify:
        output.result(fields, line)
        return
    with contextlib.ExitStack() as opened:
        donors = [
            one if isinstance(one, Donor) else opened.enter_context(WeightFile(one))
            for one in sources
        ]
        found = verify_file(options.output, donors, shares, images=images, **placement(options))
    checks, lines = _checks(found, header.dtype)
    output.result({**fields, **checks}, "\n".join([line, *lines]))
    if not found.is_equal:
        raise NestingError(
            f"{options.output}: differs from its donors by more than {found.tolerance:g} x input "
            "std. The file was kept; please report this with the command."
        )


def _checks(found: FileCheck, dtype: str) -> tuple[dict[str, Any], list[str]]:
    """Return comparisons for machines and as lines for people."""
    fields: dict[str, Any] = {
        "checks": [{**vars(check), "relative": check.relative} for check in found.checks]
    }
    lines = [f"  {check.describe()}" for check in found.checks]
    rounding = found.rounding
    if rounding is not None:
        fields["rounding"] = {**vars(rounding), "relative": rounding.relative}
        lines.append(
            f"  The donors were rounded to {dtype} alike, which alone moves an output by "
            f"up to {rounding.relative:.1e} x input std."
        )
    return fields, lines
