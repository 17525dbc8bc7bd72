"""Harmonised donors compute what they computed before, judged by the Keras model."""

import dataclasses

import numpy as np
import pytest
from random_donors import photo_like, random_donor

from efn_compose.arch import PREPROCESSINGS, Preprocessing
from efn_compose.donors.harmonise import harmonise, require_harmonised
from efn_compose.errors import IncompatibleDonorsError
from efn_compose.models.stepwise import StepwiseNetwork

IMAGES = photo_like(6)


def keras_logits(donor, images=IMAGES):
    return np.asarray(donor.build(input_shape=images.shape[1:])(donor.preprocess(images)))


@pytest.mark.slow
def test_epsilon_is_folded_without_changing_the_function():
    donor = random_donor(bn_epsilon=1e-5)
    (folded,) = harmonise([donor])
    assert folded.conventions.bn_epsilon == 1e-3
    before, after = keras_logits(donor), keras_logits(folded)
    np.testing.assert_allclose(after, before, atol=2e-5 * before.std())
    wrong = donor.replace(conventions=folded.conventions)
    assert np.abs(keras_logits(wrong) - before).max() > 1e-3 * before.std()
    assert folded.provenance["harmonised"]["bn_epsilon"] == {"from": 1e-5, "to": 1e-3}


def test_input_scaling_is_folded_exactly_inside_the_border():
    target = random_donor(seed=1)
    donor = random_donor(preprocessing=PREPROCESSINGS["imagenet"], dtype="float64")
    folded = harmonise([target, donor], fold_preprocessing=True)[1]
    assert folded.conventions.preprocessing == target.conventions.preprocessing

    def stem(one):
        found = {}
        network = StepwiseNetwork.of(one, "float64")
        pixels, scaling = IMAGES.astype(np.float64), one.conventions.preprocessing
        inputs = (pixels - np.asarray(scaling.mean)) / np.asarray(scaling.std)
        network.run(inputs, after=lambda point, x: found.setdefault(point, x.numpy()))
        return found["stem_activation"]

    before, after = stem(donor), stem(folded)
    # Even input, stride 2: TensorFlow pads only below and to the right.
    np.testing.assert_allclose(after[:, :-1, :-1], before[:, :-1, :-1], atol=1e-10)
    assert np.abs(after[:, -1] - before[:, -1]).max() > 1e-3


def test_refusal_lists_every_difference_of_every_donor():
    donors = [
        random_donor(seed=0),
        random_donor(seed=1, padding="symmetric", activation="relu"),
        random_donor("lite-w0.35-d0.3", seed=2, preprocessing=PREPROCESSINGS["unit"]),
    ]
    with pytest.raises(IncompatibleDonorsError) as caught:
        harmonise(donors)
    message = str(caught.value)
    for part in ("nano1: padding", "nano1: activation", "nano2: variant", "nano2: preprocessing"):
        assert part in message
    assert "nano2: stage_channels" in message and "nest" in message
    assert "fold_preprocessing=True" in message


def test_equal_outlines_name_the_block_that_differs():
    one = random_donor()
    blocks = list(one.spec.blocks)
    number = next(i for i, block in enumerate(blocks) if block.stride == 2)
    blocks[number] = dataclasses.replace(blocks[number], stride=1)
    other = one.replace(spec=dataclasses.replace(one.spec, blocks=tuple(blocks)))
    with pytest.raises(IncompatibleDonorsError, match=f"{blocks[number].name} stride: 2 and 1"):
        harmonise([one, other])


def test_heads_are_kept_only_where_all_agree():
    same = harmonise([random_donor(seed=0), random_donor(seed=1)])
    assert [donor.classes for donor in same] == [7, 7]
    mixed = harmonise([random_donor(seed=0), random_donor(seed=1, classes=3)])
    assert [donor.classes for donor in mixed] == [None, None]
    assert "7 classes" in mixed[0].provenance["harmonised"]["head"]
    require_harmonised(mixed)


def test_already_equal_donors_keep_their_arrays():
    donors = [random_donor(seed=0), random_donor(seed=1)]
    for old, new in zip(donors, harmonise(donors), strict=True):
        assert new.fingerprint == old.fingerprint
        assert all(new.tensors[name] is values for name, values in old.tensors.items())


def test_require_harmonised_names_the_field():
    with pytest.raises(IncompatibleDonorsError, match=r"bn_epsilon: 0\.001 and 0\.01"):
        require_harmonised([random_donor(), random_donor(bn_epsilon=0.01)])
    with pytest.raises(IncompatibleDonorsError, match="At least one donor"):
        require_harmonised([])


def test_a_scaling_that_was_stored_in_float32_is_the_same_scaling():
    exact = random_donor(classes=None)
    scaling = exact.conventions.preprocessing
    rounded = Preprocessing(
        *(tuple(float(np.float32(v / 255)) * 255 for v in vs) for vs in (scaling.mean, scaling.std))
    )
    conventions = dataclasses.replace(exact.conventions, preprocessing=rounded)
    other = exact.replace(name="stored", conventions=conventions)
    first, second = harmonise([exact, other])
    assert second.conventions == first.conventions
    assert all(second.tensors[name] is values for name, values in other.tensors.items())
    far = Preprocessing(scaling.mean, tuple(v * 1.001 for v in scaling.std))
    conventions = dataclasses.replace(exact.conventions, preprocessing=far)
    with pytest.raises(IncompatibleDonorsError, match="preprocessing"):
        harmonise([exact, exact.replace(name="far", conventions=conventions)])
