"""A main job small enough to run many times in a test: nano network, tiny images."""

from pathlib import Path

import numpy as np
from random_donors import TINY, random_donor

from efn_compose.arch import ArchSpec

#: Settings of the finals, whatever the kind of search.
_FINALS = {"noise_repeats": 2, "finalists": 2, "final_seeds": 2}


def write_nano_experiment(
    folder: Path, network: str | ArchSpec = TINY, kind: str = "genetic", **overrides: object
) -> Path:
    """Write two donors, an image file and a configuration; return the configuration's path.

    Overrides are settings of the finals or of the kind of search.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        donor = random_donor(network, number, name=f"donor{number}", classes=None)
        donor.save(folder / f"donor{number}.h5")
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    images = generator.integers(0, 90, (len(labels), 32, 32, 3))
    for label in range(3):
        # Each class is bright in another third of the image: learnable within an epoch.
        images[labels == label, :, 10 * label : 10 * label + 12] += 120
    np.savez(folder / "images.npz", images=images.astype(np.uint8), labels=labels)
    settings = {"population": 5, "generations": 2, **_FINALS, **overrides}
    finals = "\n".join(f"{key} = {settings.pop(key)}" for key in _FINALS)
    lines = "\n".join(f"{key} = {value}" for key, value in settings.items())
    config = folder / "nano.toml"
    config.write_text(
        f"""
[run]
path = "{folder / "run"}"
[donors]
files = ["{folder / "donor1.h5"}", "{folder / "donor2.h5"}"]
siblings = 1
align = "auto"
[data]
source = "npz:{folder / "images.npz"}"
size = 32
train_images = 48
validation_images = 36
test_images = 36
[search]
kind = "{kind}"
[{kind}]
{lines}
[finals]
{finals}
[fitness]
batch_size = 12
epochs = 1
[executor]
kind = "serial"
"""
    )
    return config
