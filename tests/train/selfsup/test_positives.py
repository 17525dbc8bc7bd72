"""Two images of one patient as two views: who stands beside whom, and what the network is shown."""

import numpy as np
import pytest
from tiny_recipe import quarters, tiny_donor

from efn_compose.errors import DataError
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.selfsup import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.positives import patient_partners
from efn_compose.train.selfsup.table import make_objective

#: Views that are the images themselves.
SAME = ViewOptions(crop=1.0, jitter=0.0, grey=0.0, blur=0.0)


def test_every_image_gets_another_of_its_patient_as_often_as_any_other():
    patients = np.array([7, 3, 7, 7, 1, 3, 7])
    counts = np.zeros((7, 7))
    for epoch in range(600):
        partners = patient_partners(patients, 5, epoch)
        assert sorted(partners) == list(range(7))
        counts[np.arange(7), partners] += 1
    others = (patients[:, None] == patients) & ~np.eye(7, dtype=bool)
    assert counts[4, 4] == 600 and np.array_equal(np.diag(counts) > 0, np.arange(7) == 4)
    assert (counts[~others & ~np.eye(7, dtype=bool)] == 0).all()
    # One of three others: 200 ± 11.5; four standard deviations.
    among = counts[np.ix_([0, 2, 3, 6], [0, 2, 3, 6])][~np.eye(4, dtype=bool)]
    assert np.abs(among - 200).max() < 47


def data(patients):
    images, _ = quarters(12)
    unknown = np.full(12, -1, np.int32)
    return TrainingData(
        (), images, unknown, images[:4], unknown[:4], train_patients=np.array(patients)
    )


def inputs(positives, patients):
    options = PretrainOptions(positives=positives, batch_size=4)
    objective = make_objective("vicreg", options, SAME)
    objective.check(data(patients))
    return Inputs(data(patients), tiny_donor(), objective, AugmentOptions(flip_x=0.0), seed=2)


@pytest.mark.slow
def test_the_second_view_is_of_another_image_of_the_patient():
    patients = np.arange(12) % 5
    made = inputs("patient", patients)
    scaling = tiny_donor().conventions.preprocessing
    images = data(patients).train_images
    numbers = np.array([0, 3, 9, 11])
    for epoch in (0, 1):
        pixels, _ = made.batch(numbers, epoch, 0, 16)
        seen = np.asarray(pixels) * np.asarray(scaling.std) + np.asarray(scaling.mean)
        partners = patient_partners(patients, 2, epoch)[numbers]
        np.testing.assert_allclose(seen[:4], images[numbers], atol=1e-3)
        np.testing.assert_allclose(seen[4:], images[partners], atol=1e-3)
        assert (patients[partners] == patients[numbers]).all() and (partners != numbers).all()
    own, _ = inputs("image", patients).batch(numbers, 0, 0, 16)
    np.testing.assert_array_equal(own[:4], own[4:])


def test_patients_with_an_image_each_are_refused():
    with pytest.raises(DataError, match="no patient has two images"):
        inputs("patient", np.arange(12))
