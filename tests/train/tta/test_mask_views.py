"""Views of masks: every answer lies on the image again, and what cannot be laid back is refused."""

import numpy as np
import pytest

from efn_compose.errors import ConfigError
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.tta import symmetric_views
from efn_compose.train.tta.masks import predict_mask_views, softmax, turned_back
from efn_compose.train.tta.views import as_it_is, crop_views, drawn_views


def brightness(images):
    """Logits that depend on each pixel alone: any turn of the image turns the answer."""
    grey = images.astype(np.float32).mean(axis=-1) / 32
    return np.stack([4 - grey, grey - 4], axis=-1)


@pytest.mark.parametrize("merge", ["mean", "median"])
@pytest.mark.parametrize("kind", ["flip", "flips", "dihedral"])
def test_a_network_that_turns_with_the_image_gives_one_answer_whatever_the_views(kind, merge):
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3)).astype(np.uint8)
    found = predict_mask_views(brightness, images, symmetric_views(kind), merge=merge)
    np.testing.assert_allclose(found, softmax(brightness(images)), atol=1e-6)


def test_a_network_that_does_not_is_averaged_over_its_turns():
    def left_half(images):
        logits = np.zeros((*images.shape[:3], 2), np.float32)
        logits[:, :, : images.shape[2] // 2, 1] = 30.0
        return logits

    images = np.zeros((1, 4, 4, 3), np.uint8)
    found = predict_mask_views(left_half, images, symmetric_views("dihedral"))[0, :, :, 1]
    # 1 on the left, 0.5 on the right; each pixel lies in a half as often as not.
    np.testing.assert_allclose(found, np.full((4, 4), 0.75), atol=1e-6)


def test_what_cannot_be_laid_back_is_refused():
    maps = np.zeros((1, 4, 4, 2))
    assert turned_back(as_it_is, maps) is maps
    for view in (crop_views()[1], drawn_views(AugmentOptions(), 2, seed=1)[1]):
        with pytest.raises(ConfigError, match="'dihedral'"):
            turned_back(view, maps)
    with pytest.raises(ConfigError, match="Ranks order images"):
        predict_mask_views(brightness, np.zeros((1, 4, 4, 3), np.uint8), [as_it_is], merge="rank")
