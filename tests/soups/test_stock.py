"""Model Stock against its geometry, its formula, and what is obvious."""

import itertools

import numpy as np
import pytest
from fine_tunings import BASE, DONORS, tuned
from random_donors import random_donor

from efn_compose.errors import ComposeError, IncompatibleDonorsError
from efn_compose.soups import model_stock
from efn_compose.soups.stock import stock_ratio


def flat(donor, layer):
    """A layer's trainable numbers in one vector."""
    names = [n for n in donor.tensors if n.rpartition("/")[0] == layer and "moving" not in n]
    return np.concatenate([donor.tensors[name].astype(np.float64).ravel() for name in names])


def with_layer(donor, layer, vector):
    tensors, start = dict(donor.tensors), 0
    for name, values in donor.tensors.items():
        if name.rpartition("/")[0] == layer and "moving" not in name:
            part = vector[start : start + values.size].reshape(values.shape)
            tensors[name], start = part.astype(np.float32), start + values.size
    return donor.replace(tensors=tensors)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("radius", "distance"), [(0.02, 0.03), (0.03, 0.01)])
def test_on_an_ideal_shell_it_is_the_point_next_to_the_centre(count, radius, distance):
    """The paper's setting: equal distances to a centre, all directions orthogonal.

    Of all points on the plane through ancestor and fine-tunings, Model Stock claims to give
    the one closest to the centre. Least squares finds that point without any formula.
    """
    layer = "stage3_block1_project_conv"
    centre = flat(BASE, layer)
    rng = np.random.default_rng(0)
    directions, _ = np.linalg.qr(rng.normal(size=(centre.size, count + 1)))
    ancestor = centre + distance * directions[:, 0]
    tunings = [centre + radius * directions[:, 1 + number] for number in range(count)]
    found = model_stock(
        with_layer(BASE, layer, ancestor), [with_layer(BASE, layer, w) for w in tunings]
    )
    span = np.stack([w - ancestor for w in tunings], axis=1)
    coordinates, *_ = np.linalg.lstsq(span, centre - ancestor, rcond=None)
    np.testing.assert_allclose(
        flat(found.donor, layer) - centre, ancestor + span @ coordinates - centre, atol=2e-6
    )
    assert found.ratios[layer] == pytest.approx(coordinates.sum(), abs=1e-4)
    assert 0.1 < found.ratios[layer] < 0.95
    # What nobody changed stays as it is.
    assert found.ratios["stem_conv"] == 1
    np.testing.assert_allclose(flat(found.donor, "stem_conv"), flat(BASE, "stem_conv"), rtol=1e-6)


def test_every_layer_has_the_ratio_of_its_own_mean_cosine():
    # A common direction makes the angles differ from layer to layer.
    common = tuned(9, noise=0.1)
    donors = []
    for number, donor in enumerate(DONORS):
        drawn = {
            name: values
            + (0.2 + 0.3 * (len(name) % 3)) * (common.tensors[name] - BASE.tensors[name])
            for name, values in donor.tensors.items()
        }
        donors.append(donor.replace(name=f"pulled{number}", tensors=drawn))
    found = model_stock(BASE, donors)
    layers = list(dict.fromkeys(name.rpartition("/")[0] for name in BASE.tensors))
    assert list(found.ratios) == layers
    for layer in layers:
        start, ends = flat(BASE, layer), [flat(donor, layer) for donor in donors]
        cosines = [
            (one - start)
            @ (two - start)
            / np.linalg.norm(one - start)
            / np.linalg.norm(two - start)
            for one, two in itertools.combinations(ends, 2)
        ]
        cosine = max(np.mean(cosines), 0)
        ratio = 3 * cosine / (1 + 2 * cosine)
        assert found.ratios[layer] == pytest.approx(ratio, abs=1e-6)
        expected = ratio * np.mean(ends, axis=0) + (1 - ratio) * start
        np.testing.assert_allclose(flat(found.donor, layer), expected, atol=2e-6)
    assert len({round(ratio, 3) for ratio in found.ratios.values()}) > 3


def test_for_two_it_is_the_published_formula_for_two():
    for cosine in (0.1, 0.5, 0.9):
        assert stock_ratio(cosine, 2) == pytest.approx(2 * cosine / (1 + cosine))


def test_opposite_fine_tunings_give_the_ancestor():
    there = DONORS[0]
    back = {name: 2 * BASE.tensors[name] - values for name, values in there.tensors.items()}
    back |= {name: v for name, v in there.tensors.items() if "moving" in name}
    found = model_stock(BASE, [there, there.replace(name="back", tensors=back)])
    assert set(found.ratios.values()) == {0.0}
    assert all(
        np.array_equal(found.donor.tensors[name], values) for name, values in BASE.tensors.items()
    )


def test_classifiers_that_the_ancestor_does_not_have_are_averaged():
    found = model_stock(BASE.without_head(), DONORS)
    name = "predictions/kernel"
    expected = np.mean([donor.tensors[name] for donor in DONORS], axis=0)
    np.testing.assert_allclose(found.donor.tensors[name], expected, atol=1e-6)
    assert found.ratios["predictions"] == 1


def test_one_fine_tuning_and_strangers_are_refused():
    with pytest.raises(ComposeError, match="two or more"):
        model_stock(BASE, DONORS[:1])
    with pytest.raises(IncompatibleDonorsError, match="2 lineages"):
        model_stock(random_donor(seed=5), DONORS)
