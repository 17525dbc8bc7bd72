"""A story of three chapters on a network of two blocks: it ends in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image
from tiny_recipe import quarters, tiny_donor

STORY = """
[everywhere]
data.size = 16
executor.kind = "serial"
run.seed = 3

[relative]
verb = "pretrain"
weights.file = "{place}/tiny.h5"
unlabelled.source = "npz:{place}/images.npz"
unlabelled.size = 16
pretrain.methods = ["simclr"]
pretrain.epochs = 1
pretrain.batch_size = 16

[many]
verb = "train"
weights.file = "{{relative}}"
data.source = "npz:{place}/images.npz"
validation.folds = 2
train.epochs = 2
train.learning_rate = 0.02

[answer]
verb = "ensemble"
ensemble.runs = ["{{many}}"]
ensemble.measure = "accuracy"
budget.hours = 5
data.source = "csv:{place}/new.csv"
data.columns = ["image=isic_id"]
data.folder = "{place}/asked"
"""


def write_story(folder: Path) -> str:
    """Write images, weights without a licence and `story.toml`; return the story."""
    tiny_donor().replace(provenance={}).save(folder / "tiny.h5")
    images, labels = quarters(48)
    np.savez(folder / "images.npz", images=images, labels=labels)
    # As a competition writes it: its own names of columns, and the images in another folder.
    (folder / "asked").mkdir()
    for number, image in enumerate(quarters(20, seed=9)[0]):
        Image.fromarray(image).save(folder / "asked" / f"{number:02}.png")
    rows = "".join(f"{number:02}\n" for number in range(20))
    (folder / "new.csv").write_text(f"isic_id\n{rows}")
    text = STORY.format(place=folder)
    (folder / "story.toml").write_text(text)
    return text
