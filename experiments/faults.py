"""What the product makes of inputs that people's bug reports are about, before and now.

Command:   git worktree add ../before 7015599 && python experiments/faults.py --product ../before
Needs:     pip install -e .[parity]
Expected:  about ten minutes; writes experiments/results/faults.md, and line by line faults.jsonl
           beside it, from which an interrupted run, or one with new inputs, goes on
Result:    each input is converted, features or logits within 1e-5 standard deviations of the source
           library in float64; or refused in one sentence; or read with the right number of images

Inputs are made anew each time (`experiments/fault_inputs/`): random weights, random pixels. Each
version runs in a process of its own; what it wrote is judged by this version, in
float64 and without TensorFlow.
"""

import argparse
import csv
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "experiments" / "results" / "faults.md"
sys.path.insert(0, str(ROOT / "experiments"))
GATE = 1e-5
#: Module and function that make inputs, in the order of the page.
MAKERS = (
    "timm_files:hub_folders", "timm_files:training_script", "timm_files:old_hub_folder",
    "timm_files:old_names", "keras_files:imagenet", "keras_files:in_front",
    "keras_files:after_training", "keras_files:heads", "torch_files:wrapped",
    "torch_files:own_heads", "torch_files:channels", "torch_files:harmless_pickles",
    "torch_files:no_checkpoints", "images:exif", "images:grey", "images:folders", "images:tables",
    "images:terminals",
    "keras_files:scaling_lists", "torch_files:own_pooling", "images:more_folders",
)  # fmt: skip
#: Runs commands, one a line, and answers with exit code and messages.
RUN = """
import contextlib, io, json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from efn_compose.cli import main
for line in sys.stdin:
    words, here = json.loads(line)
    os.chdir(here)
    out, said = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            code = 1
            traceback.print_exc()
    said.flush()
    print(json.dumps([code, said.buffer.getvalue().decode()]), file=answers, flush=True)
"""


class Product:
    """A version of the product that runs commands in one process, as imports take longest.

    Args:
        folder: Its work tree.
    """

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RUN],
            env=self._environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def run(self, words: list[str], here: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """Return exit code and messages of a command; one with an environment has its own process."""
        if environment:
            code = "import sys; from efn_compose.cli import main; sys.exit(main(sys.argv[1:]))"
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code, *words],
                env={**self._environment, **environment}, cwd=here, capture_output=True, check=False,
            )  # fmt: skip
            return done.returncode, done.stderr.decode("utf-8", "replace")
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            raise RuntimeError("no pipes")
        asked.write(json.dumps([words, str(here)]) + "\n")
        asked.flush()
        code, said = json.loads(answers.readline())
        return code, said

    def end(self) -> None:
        """End its process."""
        self._process.communicate()


def difference(path: Path, truths: dict[str, np.ndarray], name: str) -> tuple[str, float]:
    """Return what was compared, and the largest difference over the truth's standard deviation."""
    from efn_compose.donors import load_donor
    from efn_compose.nesting.running.forward import NumpyNetwork
    from efn_compose.nesting.running.weight_source import WeightSource

    donor = load_donor(path)
    donor = donor.replace(tensors={n: v.astype(np.float64) for n, v in donor.tensors.items()})
    scaling = donor.conventions.preprocessing
    inputs = (truths["pixels"] - np.float64(scaling.mean)) / np.float64(scaling.std)
    network = NumpyNetwork(WeightSource.of(donor))
    expected = truths.get(f"{name} logits")
    if donor.classes is None or expected is None or expected.shape[1] != donor.classes:
        what, expected, found = "features", truths[f"{name} features"], network.features(inputs)
    else:
        what, found = "logits", network.run(inputs)
    return what, float(np.abs(found - expected).max() / expected.std())


def sentence(text: str, here: Path) -> str:
    """Return the first lines of a message without its folder, short enough for a table."""
    text = " ".join(text.split()).replace(f"{here}/", "").replace("efn-compose: ", "")
    text = re.sub(r"^error: ", "", text).replace("|", "/")
    return text if len(text) < 240 else f"{text[:237]}…"


def outcome(case: Any, here: Path, product: Product) -> dict[str, Any]:
    """Run one case and say what became of it, and whether that is right."""
    out = here / "out"
    for file in here.glob("out.*"):
        file.unlink()
    command = [part.format(here=here, out=out) for part in case.command]
    code, said = product.run(command, here, case.environment)
    if "Traceback" in said:
        last = said.strip().splitlines()[-1]
        return {"said": f"a traceback: {sentence(last, here)}", "is_right": False}
    if code:
        lines = [line for line in said.splitlines() if not re.match(r"^[WIE]\d{4} |WARNING", line)]
        is_right = code in (1, 2) and not list(here.glob("out.*"))
        return {"said": f"refused: {sentence(' '.join(lines), here)}", "is_right": is_right}
    if case.command[0] == "convert":
        try:
            with np.load(here / "truths.npz") as file:
                truths = dict(file)
            what, distance = difference(here / "out.h5", truths, case.truth)
        except LookupError:  # no answer is right but a question
            return {"said": "converted without a question", "is_right": False}
        except (OSError, ValueError) as error:
            return {"said": f"converted; {sentence(str(error), here)}", "is_right": False}
        return {"said": f"converted; {what} {distance:.1e} σ off", "is_right": distance < GATE}
    if case.command[0] == "folds":
        with (here / "out.csv").open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
        counts = (len(rows), len({row["label"] for row in rows}))
        said = f"{counts[0]} images of {counts[1]} classes"
        return {"said": said, "is_right": counts == case.counts}
    return {"said": "described", "is_right": True}


def attack(products: Mapping[str, Product], lines: Path) -> None:
    """Make the inputs that some version has not seen, and run their cases on each."""
    done = {(line["version"], line["maker"]) for line in seen_in(lines)}
    for maker in MAKERS:
        left = [version for version in products if (version, maker) not in done]
        if not left:
            continue
        module, function = maker.split(":")
        make = getattr(importlib.import_module(f"fault_inputs.{module}"), function)
        found = []
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder).resolve()
            for case in list(make(here)):
                for version in left:
                    own = {"version": version, "maker": maker, "kind": case.kind, "name": case.name}
                    found.append(own | outcome(case, here, products[version]))
                    print(version, case.name, found[-1]["said"], file=sys.stderr)
        with lines.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in found)


def seen_in(lines: Path) -> list[dict[str, Any]]:
    """Return what earlier runs have seen."""
    if not lines.exists():
        return []
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]


def page(seen: list[dict[str, Any]]) -> str:
    """Return the table of all cases, before and now."""
    by_case: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for maker in MAKERS:
        for line in seen:
            if line["maker"] == maker:
                key = (line["kind"], maker.partition(":")[2], line["name"])
                by_case.setdefault(key, {})[line["version"]] = line
    counts = {
        version: sum(one.get(version, {}).get("is_right", False) for one in by_case.values())
        for version in ("before", "now")
    }
    rows = [
        f"| {kind} | `{name}` | {_cell(one.get('before'))} | {_cell(one.get('now'))} |"
        for (kind, _, name), one in by_case.items()
    ]
    text = [
        "# Faults that people meet, before and now",
        "",
        "Made by `python experiments/faults.py --product ../before`, a tree of revision 7015599. Of",
        f"{len(by_case)} inputs {counts['before']} were right then, {counts['now']} are now. Right is:",
        f"features or logits within {GATE:g} standard deviations (σ) of the source library in float64; all",
        "images with all classes; or a refusal with its exit code and nothing written. Whether a refusal",
        "helps is for the reader to judge, so its sentence stands here. ✗ marks what is not right.",
        "",
        "| kind | input | before | now |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(text)


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return "not run"
    return f"{'' if line['is_right'] else '✗ '}{line['said']}"


def main() -> int:
    """Run all cases on a product, write the page; return 0 if all of them are right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    parser.add_argument(
        "--product", type=Path, help="another version's work tree: the column before"
    )
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    lines = options.output.with_suffix(".jsonl")
    products = {"now": Product(ROOT)}
    if options.product:
        products["before"] = Product(options.product.resolve())
    attack(products, lines)
    for product in products.values():
        product.end()
    seen = seen_in(lines)
    options.output.write_text(page(seen), encoding="utf-8")
    print(f"written: {options.output}", file=sys.stderr)
    return 0 if all(line["is_right"] for line in seen if line["version"] == "now") else 1


if __name__ == "__main__":
    sys.exit(main())
