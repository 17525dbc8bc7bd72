"""Make a table like ISIC's, with images and donors of three kinds, to try melanoma.toml small.

    python experiments/melanoma_table.py /tmp/melanoma

Nothing in it is medical: lesions are drawn, the weights are random. Real are the files: a CSV with
ISIC 2020's columns, JPEG images of different sizes, several per patient, and one donor as timm saves
it (safetensors), one as the official TensorFlow code does (a checkpoint), one as Keras does (HDF5).
The two small donors are nested into the third's network, as B0 to B4 are into B5.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from efn_compose.arch import ArchSpec, arch_spec, default_conventions, inventory
from efn_compose.donors import Donor

SMALL, LARGE, LARGER = "b-w0.5-d0.3", "b-w0.75-d0.3", "b-w1.0-d0.3"
COLUMNS = (
    "image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge",
    "diagnosis", "benign_malignant", "target",
)  # fmt: skip
#: Classes of the drawn donors' heads.
CLASSES = 9


def draw_lesion(rng: np.random.Generator, malignant: bool) -> Image.Image:
    """Return a drawn lesion: malignant ones are ragged and of several colours."""
    side = int(rng.integers(90, 140))
    skin = np.array([224, 180, 155]) + rng.normal(0, 12, 3)
    image = Image.new("RGB", (side, int(side * 0.75)), tuple(np.clip(skin, 0, 255).astype(int)))
    draw = ImageDraw.Draw(image)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ragged = 0.25 if malignant else 0.05
    colours = [(110, 70, 50), (60, 40, 40), (150, 60, 60)] if malignant else [(130, 85, 60)]
    for colour in colours:
        radii = side * rng.uniform(0.15, 0.3) * (1 + rng.normal(0, ragged, len(angles)))
        centre = np.array(image.size) / 2 + rng.normal(0, 4, 2)
        points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        draw.polygon([tuple(point) for point in points], fill=colour)
    return image.filter(ImageFilter.GaussianBlur(1.5))


def write_table(folder: Path, part: str, patients: int, seed: int) -> int:
    """Write the images and the table of a part; return the number of images."""
    rng = np.random.default_rng(seed)
    images = folder / part
    images.mkdir(parents=True)
    rows: list[list[object]] = []
    for patient in range(patients):
        sex, age = rng.choice(["male", "female"]), 5 * int(rng.integers(4, 18))
        for _ in range(int(rng.integers(1, 7))):
            malignant = bool(rng.random() < 0.3)
            name = f"ISIC_{seed}{len(rows):06d}"
            draw_lesion(rng, malignant).save(images / f"{name}.jpg", quality=90)
            kind = ("melanoma", "malignant") if malignant else ("nevus", "benign")
            site = rng.choice(["torso", "lower extremity", "head/neck"])
            rows.append([name, f"IP_{seed}{patient:06d}", sex, age, site, *kind, int(malignant)])
    # The table of new images lacks what is asked for: the last columns.
    known = len(COLUMNS) if part == "train" else COLUMNS.index("diagnosis")
    with (folder / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([row[:known] for row in [COLUMNS, *rows]])
    return len(rows)


def random_donor(name: str, spec: ArchSpec, seed: int) -> Donor:
    """Return a donor with random weights and a head."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for tensor in inventory(spec, CLASSES):
        shape = tensor.shape
        if len(shape) > 1:
            fan_in = (
                np.prod(shape[:2]) if tensor.role == "depthwise_kernel" else np.prod(shape[:-1])
            )
            values = rng.normal(0, np.sqrt(2 / fan_in), shape)
        elif tensor.role in ("gamma", "moving_variance"):
            values = rng.uniform(0.8, 1.2, shape)
        else:
            values = rng.normal(0, 0.05, shape)
        tensors[tensor.name] = values.astype(np.float32)
    return Donor(name, spec, default_conventions(spec), tensors, {"licence": "Apache-2.0"})


def write_timm_file(spec: ArchSpec, folder: Path) -> None:
    """Write a fresh network of timm's as its hub holds it: weights, and a description beside them."""
    import torch
    from safetensors.torch import save_file

    from converters.oracles.torch_models import Wanted, declare_torchvision_operators, timm_network

    declare_torchvision_operators()
    torch.manual_seed(1)
    model = timm_network(Wanted(spec, classes=CLASSES))
    folder.mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    described = {
        "architecture": "tf_efficientnet_b0",
        "num_classes": CLASSES,
        "pretrained_cfg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    }
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")


def write_keras_file(path: Path) -> None:
    """Write a fresh network of keras.applications as Keras does."""
    import keras
    from keras.src.applications.efficientnet import EfficientNet

    keras.utils.set_random_seed(1)
    width, depth = (float(part[1:]) for part in LARGE.split("-")[1:])
    model = EfficientNet(width, depth, 64, weights=None, classes=CLASSES)
    # Published files hold ImageNet's statistics here; a fresh network none.
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    model.get_layer("normalization").set_weights([mean, deviation**2, np.array(0)])
    model.save_weights(path)


def write_tf_checkpoint(donor: Donor, prefix: Path) -> None:
    """Write a donor as the official TensorFlow code names its variables."""
    import tensorflow as tf

    from converters.tf_official import DIALECT

    prefix.parent.mkdir(parents=True)
    rows = list(DIALECT.rows(donor.spec, CLASSES, None))
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=[f"efficientnet/{row.foreign}" for row in rows],
        shape_and_slices=[""] * len(rows),
        tensors=[tf.constant(donor.tensors[row.canonical]) for row in rows],
    )


def main() -> None:
    """Write everything and print the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", type=Path, help="new; is created")
    parser.add_argument("--patients", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = args.folder.resolve()
    count = write_table(folder, "train", args.patients, args.seed)
    write_table(folder, "test", args.patients // 4, args.seed + 1)
    small = arch_spec(SMALL)
    write_timm_file(small, folder / "timm")
    write_tf_checkpoint(random_donor("tf", small, 2), folder / "tf" / "model.ckpt")
    write_keras_file(folder / "efficientnet.weights.h5")
    files = [
        f"keras={folder / 'efficientnet.weights.h5'}",
        "{relative}",
        f"timm={folder / 'timm/model.safetensors'}",
        f"tf={folder / 'tf/model.ckpt'}",
    ]
    donors, table = json.dumps(files), folder / "train.csv"
    settings = {
        "relative": {"weights.file": folder / "efficientnet.weights.h5", "pretrain.epochs": 1,
                     "unlabelled.source": f"folder:{folder / 'train'}", "unlabelled.size": 48,
                     "unlabelled.overlap": "transductive", "labelled.source": f"csv:{table}",
                     "labelled.seeds": 2, "labelled.images": 0},
        "magic": {"donors.files": donors, "donors.variant": LARGE, "donors.siblings": 1,
                  "budget.hours": 0, "budget.evaluations": 40, "steady.population": 6,
                  "finals.finalists": 1, "finals.final_seeds": 2, "finals.noise_repeats": 2,
                  "fitness.epochs": 1, "fitness.batch_size": 16},
        "networks": {"train.epochs": 2, "train.precision": "float32"},
        "first": {"predict.source": f"csv:{folder / 'test.csv'}"},
        "larger": {"nest.into": LARGER},
        "larger_networks": {"train.epochs": 2, "train.precision": "float32"},
        "answer": {"ensemble.tta": 1, "data.source": f"csv:{folder / 'test.csv'}"},
    }  # fmt: skip
    for name in ("magic", "networks", "larger_networks"):
        settings[name] |= {"data.source": f"csv:{table}", "data.size": 48}
    for name in settings.keys() - {"first", "larger"}:
        settings[name] |= {"executor.device": "cpu", "executor.workers": 2}
    words = "".join(
        f" \\\n  '{name}.{key}={value}'"
        for name in settings
        for key, value in settings[name].items()
    )
    print(
        f"{count} images of {args.patients} patients and three donors in {folder}. Now:\n\n"
        f"efn-compose pipeline experiments/melanoma.toml -o {folder / 'run'} --set{words}"
    )


if __name__ == "__main__":
    main()
