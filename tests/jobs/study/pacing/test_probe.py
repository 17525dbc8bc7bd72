"""The few images that a pace is measured on."""

import numpy as np

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


def test_a_pace_is_measured_on_the_first_images_and_no_others_are_read():
    images, number = CountedImages(), np.arange(COUNT)
    data = FoldedImages(images, (number % 3).astype(np.int32), ("a", "b", "c"), number // 7 % 5)
    few = few_images(data, TrainOptions(batch_size=24, accumulate=2))
    # 128 images are nearest to three updates of 48.
    for name, wanted in (
        ("train", number[data.fold != 0][:144]),
        ("validation", number[data.fold == 0][:128]),
    ):
        assert np.array_equal(getattr(few, f"{name}_images")[:, 0, 0, 0], wanted % 251)
        assert np.array_equal(getattr(few, f"{name}_labels"), wanted % 3)
    assert images.read == 144 + 128
