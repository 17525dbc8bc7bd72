"""The verbs `nest`, `direct-sum` and `shrink` of the command line."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec, arch_spec, parameter_count
from efn_compose.donors import Donor, load_donor
from efn_compose.errors import DataError, NestingError
from efn_compose.nesting.heads import ridge_head, widen_head
from efn_compose.nesting.plan import plan_nesting
from efn_compose.nesting.progress import byte_progress
from efn_compose.nesting.running.verify import (
    HALF_PRECISIONS,
    TOLERANCES,
    NestingCheck,
    verify_nesting,
)
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.nesting.shrink import shrink
from efn_compose.nesting.to_file import direct_sum_to_file, nest_to_file, refuse_same_file
from efn_compose.store import WeightFile, WeightHeader, write_weights

#: Returns images (image, height, width, 3), 0-255, and labels (image,) or None.
ImageReader = Callable[[str], tuple[np.ndarray, np.ndarray | None]]


def add_nest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `efn-compose nest`."""
    parser.add_argument("file", help="weight file (.h5) of the small network")
    _add_common(parser, "network to nest into: b7, l3, lite4, b-w1.3-d2.0")
    parser.add_argument(
        "--fill",
        default="he",
        choices=("he", "replicate", "zero", "donor"),
        help="start of new channels: random, copies, dead (trains badly), or a second donor",
    )
    parser.add_argument("--second", metavar="FILE", help="the second donor for --fill donor")
    _add_placement(parser)
    parser.add_argument(
        "--head",
        default="keep",
        choices=("keep", "drop", "ridge"),
        help="classifier: as it is, none, or fitted in closed form on --images",
    )
    parser.add_argument(
        "--classes", type=int, metavar="N", help="widen the classifier to N classes"
    )


def add_direct_sum_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `efn-compose direct-sum`."""
    parser.add_argument("files", nargs="+", metavar="file", help="two or more weight files (.h5)")
    _add_common(parser, "network with room for all: b7 holds two b0, l2 two b5")
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="share of each donor in the logits"
    )
    parser.add_argument("--fill", default="he", choices=("he", "replicate", "zero"))
    _add_placement(parser)
    parser.add_argument("--head", default="keep", choices=("keep", "drop"))


def add_shrink_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `efn-compose shrink`."""
    parser.add_argument("file", help="weight file (.h5) of the large network")
    _add_common(parser, "network to cut to", verify=False)


def run_nest(args: argparse.Namespace, read_images: ImageReader | None = None) -> int:
    """Run `efn-compose nest` and return its exit code; deliberate errors are raised."""
    target = arch_spec(args.into)
    images, labels = _images(args, read_images)
    source: str | Donor = args.file
    if args.head == "ridge" or args.classes:
        refuse_same_file(Path(args.file), args.output)
        source = _with_new_head(args, images, labels)
    with byte_progress(args.output, _bytes(target, args), quiet=args.quiet) as progress:
        header = nest_to_file(
            source,
            target,
            args.output,
            dtype=args.dtype,
            progress=progress,
            images=images,
            second_file=args.second,
            fill=args.fill,
            keep_head=args.head != "drop",
            **_placement(args),
        )
    sources, shares = [source], [1.0]
    if args.second:
        sources, shares = [source, args.second], [1.0, 0.0]
    return _finish(args, header, sources, shares, images)


def run_direct_sum(args: argparse.Namespace, read_images: ImageReader | None = None) -> int:
    """Run `efn-compose direct-sum` and return its exit code; deliberate errors are raised."""
    target = arch_spec(args.into)
    images, _ = _images(args, read_images)
    with byte_progress(args.output, _bytes(target, args), quiet=args.quiet) as progress:
        header = direct_sum_to_file(
            args.files,
            target,
            args.output,
            weights=args.weights,
            dtype=args.dtype,
            progress=progress,
            images=images,
            fill=args.fill,
            keep_head=args.head != "drop",
            **_placement(args),
        )
    shares = args.weights or [1 / len(args.files)] * len(args.files)
    return _finish(args, header, args.files, shares, images)


def run_shrink(args: argparse.Namespace, read_images: ImageReader | None = None) -> int:
    """Run `efn-compose shrink` and return its exit code; deliberate errors are raised."""
    refuse_same_file(Path(args.file), args.output)
    images, _ = _images(args, read_images)
    small = shrink(load_donor(args.file), args.into, images=images)
    with byte_progress(args.output, _bytes(small.spec, args), quiet=args.quiet) as progress:
        header = WeightHeader(
            small.spec, small.conventions, small.classes, small.provenance, dtype=args.dtype
        )
        write_weights(args.output, header, small.tensors, progress=progress)
    step = small.provenance["steps"][-1]
    report = {**_summary(args, header), "agreement": step["agreement"]}
    agreement = step["agreement"]
    _say(
        args,
        report,
        [
            _headline(report),
            f"  on {agreement['image_count']} {agreement['images']} images, compared with the "
            f"original: correlation of outputs {agreement['correlation']:.3f}"
            + (
                f", same top class on {100 * agreement['same_top_class']:.0f} %"
                if agreement["same_top_class"] is not None
                else ""
            ),
            "  A cut network is never exact; fine-tune it before use.",
        ],
    )
    return 0


@dataclass(frozen=True)
class Verb:
    """A verb of the command line: one line of help, its arguments, and what it does."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., int]


VERBS = {
    "nest": Verb("place weights inside a larger network, exactly", add_nest_arguments, run_nest),
    "direct-sum": Verb(
        "place networks side by side in a larger one; logits are their mean",
        add_direct_sum_arguments,
        run_direct_sum,
    ),
    "shrink": Verb("cut weights to a smaller network", add_shrink_arguments, run_shrink),
}


def read_image_array(path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images, and labels where there are some, from a `.npy` or `.npz` file.

    Args:
        path: An array (image, height, width, 3), values 0-255; in an `.npz` under
            the name "images", labels (image,) under "labels".

    Raises:
        DataError: The file is missing, of another format, or of another shape.
    """
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                images, labels = loaded, None
            else:
                images, labels = loaded["images"], loaded.get("labels")
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: cannot read images ({error}). Give a .npy file, or an .npz file with "
            "'images' (image, height, width, 3) and, for a new classifier, 'labels'."
        ) from None
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise DataError(f"{path}: images must be (image, height, width, 3), not {images.shape}.")
    return images, labels


def _add_common(parser: argparse.ArgumentParser, into: str, verify: bool = True) -> None:
    parser.add_argument("--into", required=True, metavar="VARIANT", help=into)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write (.h5)")
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "float16", "bfloat16", "float64"),
        help="of the stored tensors (other libraries read bfloat16 as float32)",
    )
    parser.add_argument(
        "--images", metavar="FILE", help=".npy or .npz images to calibrate, fit and verify with"
    )
    if verify:
        parser.add_argument(
            "--verify", action="store_true", help="run the networks in float64 and compare"
        )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_placement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--extra-repeats", default="end", choices=("end", "interleaved"))
    parser.add_argument("--positions", default="leading", choices=("leading", "random"))
    parser.add_argument("--seed", type=int, default=0, help="of random values and positions")


def _placement(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "extra_repeats": args.extra_repeats,
        "positions": args.positions,
        "seed": args.seed,
    }


def _images(
    args: argparse.Namespace, read_images: ImageReader | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    return (read_images or read_image_array)(args.images) if args.images else (None, None)


def _with_new_head(
    args: argparse.Namespace, images: np.ndarray | None, labels: np.ndarray | None
) -> Donor:
    donor = load_donor(args.file)
    if args.head == "ridge":
        if images is None or labels is None:
            raise DataError("--head ridge needs --images FILE.npz with 'images' and 'labels'.")
        return ridge_head(donor, images, labels, classes=args.classes)
    return widen_head(donor, args.classes)


def _bytes(spec: ArchSpec, args: argparse.Namespace) -> int:
    itemsize = {"float64": 8, "float32": 4}.get(args.dtype, 2)
    return itemsize * parameter_count(spec)


def _summary(args: argparse.Namespace, header: WeightHeader) -> dict[str, Any]:
    return {
        "output": str(args.output),
        "variant": header.spec.variant,
        "parameters": parameter_count(header.spec, header.classes),
        "bytes": Path(args.output).stat().st_size,
        "dtype": header.dtype,
        "classes": header.classes,
    }


def _headline(report: dict[str, Any]) -> str:
    return (
        f"{report['output']}: {report['variant']}, {report['parameters']:,} parameters, "
        f"{report['bytes'] / 1e6:,.1f} MB, {report['dtype']}"
    )


def _finish(
    args: argparse.Namespace,
    header: WeightHeader,
    sources: list[str | Donor],
    shares: list[float],
    images: np.ndarray | None,
) -> int:
    report = _summary(args, header)
    lines = [_headline(report)]
    checks: list[NestingCheck] = []
    if args.verify:
        checks, rounding = _verify(args, header, sources, shares, images)
        report["checks"] = [{**vars(check), "relative": check.relative} for check in checks]
        lines += [f"  {check.describe()}" for check in checks]
        if rounding is not None:
            report["rounding"] = {**vars(rounding), "relative": rounding.relative}
            lines.append(
                f"  The donors were rounded to {header.dtype} alike, which alone moves an output by "
                f"up to {rounding.relative:.1e} x input std."
            )
    _say(args, report, lines)
    tolerance = TOLERANCES[header.dtype]
    if any(not check.relative < tolerance for check in checks):
        raise NestingError(
            f"{args.output}: differs from its donors by more than {tolerance:g} x input std. The "
            "file was kept; please report this with the command."
        )
    return 0


def _verify(
    args: argparse.Namespace,
    header: WeightHeader,
    sources: list[str | Donor],
    shares: list[float],
    images: np.ndarray | None,
) -> tuple[list[NestingCheck], NestingCheck | None]:
    """Return the comparisons, and for half precision what rounding the donors did."""
    donors = [
        WeightSource.of(one if isinstance(one, Donor) else load_donor(one)) for one in sources
    ]
    if header.classes is None:
        donors = [donor.replace(classes=None) for donor in donors]
    rounded = [
        donor.rounded(header.dtype) if header.dtype in HALF_PRECISIONS else donor
        for donor in donors
    ]
    plan = plan_nesting([donor.spec for donor in donors], header.spec, **_placement(args))
    common = {"weights": shares, "positions": plan.feature_positions()}
    with WeightFile(args.output) as nested:
        checks = [
            verify_nesting(nested, rounded, is_training=is_training, **common)
            for is_training in (False, True)
        ]
        if images is not None:
            checks.append(verify_nesting(nested, rounded, images=images[:8], **common))
        rounding = None
        if header.dtype in HALF_PRECISIONS:
            rounding = verify_nesting(nested, donors, **common)
    return checks, rounding


def _say(args: argparse.Namespace, report: dict[str, Any], lines: list[str]) -> None:
    if args.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    elif not args.quiet:
        sys.stdout.write("\n".join(lines) + "\n")
