"""How to load the weights that a card describes: Keras, tf-keras, PyTorch."""

import json
import shlex
from collections.abc import Sequence

from efn_compose.analysis.card.card_text import inline
from efn_compose.analysis.html.markup import clean
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.arch import Conventions, base_of
from efn_compose.errors import EfnComposeError
from efn_compose.evolve.verdict.verdict import COMPOSED, RIVALS
from efn_compose.store import WeightFile
from efn_compose.store.run_folder import WEIGHTS_FILE
from efn_compose.store.weights.keras_normalization import V1_BASE

#: Variants that timm publishes under the name of their family's first letters.
_TIMM = {*(f"b{number}" for number in range(9)), *(f"lite{number}" for number in range(5))}


def has_classifier(run: RunView) -> bool:
    """Return whether the written weights were trained in the run and include their classifier."""
    return run.trains_on and run.result.get("winner") in (COMPOSED, *RIVALS)


def loading(run: RunView) -> str:
    """Return the card's section on loading, each way with code that runs as it stands."""
    weights = clean(run.result.get("weights") or WEIGHTS_FILE)
    size = run.data.get("size", 224)
    classes = len(run.data.get("class_names") or []) or 10
    conventions = _conventions(run)
    # Trained weights include their classifier; naming classes would draw a fresh one.
    head = "" if has_classifier(run) else f", classes={classes}"
    lines = [
        "## Loading",
        "",
        "With efn_compose (Keras 3), preprocessing included:",
        "",
        "```python",
        "import efn_compose",
        "",
        f"donor = efn_compose.load_donor({json.dumps(weights)})",
        f"model = donor.build(input_shape=({size}, {size}, 3){head})  # to logits",
        "logits = model(donor.preprocess(images_uint8))",
        "```",
        "",
    ]
    call = _keras_call(run)
    if call is not None:
        for package, title in (("keras", "Keras"), ("tf_keras", "tf-keras")):
            lines += [
                f"With {title} alone (its model scales pixels of 0 to 255 itself):",
                "",
                "```python",
                call[0].format(package=package),
                "",
                f"model = {call[1].format(package=package)}",
                f"    include_top=False, weights={json.dumps(weights)}, input_shape=({size}, {size}, 3)",
                ")",
                "```",
                "",
            ]
    else:
        lines += [
            f"`keras.applications` and `tf_keras.applications` have no {inline(run.variant)}. The file "
            "is HDF5 in Keras' legacy weight layout (`layer_names`, `weight_names`), so "
            "`model.load_weights` of Keras 3 and of tf-keras fills any model whose layers have the "
            "same order and shapes; single arrays are read by name:",
            "",
            "```python",
            "import h5py",
            "",
            f"with h5py.File({json.dumps(weights)}) as file:",
            '    kernel = file["stem_conv/kernel"][()]  # (height, width, in, out)',
            "```",
            "",
        ]
    lines += _pytorch(run, weights, conventions)
    if conventions is not None:
        scaling = conventions.preprocessing
        lines += [
            f"Input: RGB, (pixel − ({_numbers(scaling.mean)})) / ({_numbers(scaling.std)}), pixels 0 to "
            f"255. Padding {conventions.padding}, activation {conventions.activation}, BatchNorm "
            f"epsilon {conventions.bn_epsilon:g}. None of this can be seen in the tensors.",
            "",
        ]
    return "\n".join(lines)


def _keras_call(run: RunView) -> tuple[str, str] | None:
    """Return the import and the beginning of the call that builds a V1 network in plain Keras."""
    if run.spec is None or base_of(run.spec) != V1_BASE:
        return None
    number = run.variant.removeprefix("b")
    if number in set("01234567"):
        return "import {package}", f"{{package}}.applications.EfficientNetB{number}("
    coefficients = f"{run.spec.width:g}, {run.spec.depth:g}, {run.spec.resolution},"
    module = "{package}.src.applications.efficientnet"
    return f"from {module} import EfficientNet", f"EfficientNet(\n    {coefficients}"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _conventions(run: RunView) -> Conventions | None:
    path = run.path / str(run.result.get("weights") or WEIGHTS_FILE)
    if not run.result or path.parent != run.path or not path.is_file():
        return None
    try:
        with WeightFile(path) as file:
            return file.header.conventions
    except (EfnComposeError, OSError, KeyError, ValueError):
        return None


def _pytorch(run: RunView, weights: str, conventions: Conventions | None) -> list[str]:
    """Return the lines on PyTorch: one export, and how timm loads it where timm has the network."""
    lines = [
        "With PyTorch, after one export, which prints how the file is loaded or why it cannot be "
        "(`--to torchvision`, `lukemelas`, `transformers` are other targets):",
        "",
        "```sh",
        f"efn-compose export {shlex.quote(weights)} --to timm -o magic.safetensors",
        "```",
        "",
    ]
    if run.variant in _TIMM and conventions is not None:
        # As many as the file has: a trained classifier is exported, too.
        classes = len(run.data.get("class_names") or []) if has_classifier(run) else 0
        prefix = "tf_" if conventions.padding == "same" else ""
        lines += [
            "```python",
            "import timm",
            "",
            f'name = "{prefix}efficientnet_{run.variant}"',
            f'model = timm.create_model(name, num_classes={classes}, checkpoint_path="magic.safetensors")',
            "```",
            "",
        ]
    return lines
