"""The few images that a pace is measured on."""

import numpy as np
import pytest

from efn_compose.jobs.study.pacing.probe import few_images
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.train.options import TrainOptions

COUNT = 2000


class CountedImages:
    """Images that are counted as they are read; each is filled with its number."""

    shape, dtype, read = (COUNT, 2, 2, 3), np.dtype(np.uint8), 0

    def __len__(self):
        return COUNT

    def __getitem__(self, numbers):
        numbers = np.arange(COUNT)[numbers]
        self.read += len(numbers)
        return np.broadcast_to(
            numbers[:, None, None, None] % 251, (*numbers.shape, 2, 2, 3)
        ).astype(np.uint8)


@pytest.mark.parametrize("classes", [3, 200])
def test_a_pace_is_measured_on_all_classes_and_no_other_images_are_read(classes):
    images, number = CountedImages(), np.arange(COUNT)
    # As a folder has them: class by class.
    labels = (number * classes // COUNT).astype(np.int32)
    data = FoldedImages(images, labels, tuple(map(str, range(classes))), number % 5)
    few = few_images(data, TrainOptions(batch_size=24, accumulate=2))
    # 128 images are nearest to three updates of 48; each class has a score, however many there are.
    sizes = {"train": 144, "validation": max(128, classes)}
    for name, size in sizes.items():
        counts = np.bincount(getattr(few, f"{name}_labels"), minlength=classes)
        assert counts.sum() == size and counts.max() - counts.min() <= 1
        pixels = getattr(few, f"{name}_images")[:, 0, 0, 0]
        own = number[(data.fold == 0) == (name == "validation")]
        assert set(pixels) <= set(own % 251) and len(pixels) == size
    assert images.read == sum(sizes.values())
