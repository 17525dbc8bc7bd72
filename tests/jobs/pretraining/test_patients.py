"""Positives of a patient, from a table to the pairs that are trained on."""

import numpy as np
import pytest
from PIL import Image
from tiny_recipe import quarters, tiny_donor

from efn_compose.errors import ConfigError, DataError
from efn_compose.jobs.pretraining.preparation import prepare_pretraining


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A donor, and a table of 20 images of 8 patients."""
    folder = tmp_path_factory.mktemp("patients")
    tiny_donor().save(folder / "tiny.h5")
    lines = ["isic_id,owner"]
    for number, image in enumerate(quarters(20, seed=3)[0]):
        Image.fromarray(image).save(folder / f"{number}.png")
        lines.append(f"{number}.png,patient {number % 8}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    return folder


def prepared(place, *more):
    settings = [
        f"weights.file={place / 'tiny.h5'}", f"unlabelled.source=csv:{place / 'images.csv'}",
        "unlabelled.columns=image=isic_id,patient=owner", "unlabelled.size=16",
        "pretrain.batch_size=4", "pretrain.monitor_images=32", *more,
    ]  # fmt: skip
    return prepare_pretraining(None, settings, show_progress=False)


def test_patients_come_with_the_images_where_they_are_asked_for(place):
    images = prepared(place, "pretrain.positives=patient", "unlabelled.images=15").images
    pixels, _ = quarters(20, seed=3)
    source = [int((pixels == image).all(axis=(1, 2, 3)).argmax()) for image in images.unlabelled]
    named = {}
    for number, patient in zip(source, images.data.train_patients, strict=True):
        named.setdefault(number % 8, set()).add(int(patient))
    assert all(len(found) == 1 for found in named.values())
    assert len(set.union(*named.values())) == len(named)
    plain = prepared(place, "unlabelled.images=15").images
    assert plain.data.train_patients is None and plain.fingerprint != images.fingerprint


def test_an_error_of_a_table_names_the_section_it_is_mended_in(place):
    with pytest.raises(DataError) as caught:
        prepared(place, "unlabelled.columns=image=file")
    assert "unlabelled.columns = [" in str(caught.value)
    (place / "moved.csv").write_text("image,label\nabsent.png,a\n")
    with pytest.raises(DataError, match=r"with labelled\.folder\.") as caught:
        prepared(place, f"labelled.source=csv:{place / 'moved.csv'}")
    # No flag of this verb says where the images of which source are.
    assert "data." not in str(caught.value) and "--" not in str(caught.value)


def test_a_source_without_patients_is_refused(place):
    images, labels = quarters(8)
    np.savez(place / "plain.npz", images=images, labels=labels)
    more = (f"unlabelled.source=npz:{place / 'plain.npz'}", "unlabelled.columns=")
    with pytest.raises(ConfigError, match=r"plain.npz names no patients.*patient=NAME"):
        prepared(place, "pretrain.positives=patient", *more)
    with pytest.raises(ConfigError, match=r"unlabelled\.columns .*csv:PATH"):
        prepared(place, f"unlabelled.source=npz:{place / 'plain.npz'}")
    with pytest.raises(ConfigError, match=r"pretrain\.positives .*vicreg"):
        prepared(place, "pretrain.positives=patient", "pretrain.methods=rotation")


def test_no_patient_trains_and_judges(place):
    labels = quarters(20, seed=3)[1]
    for name, patient in (("many", "{} {}"), ("lone", "{}")):
        lines = ["image,label,patient"]
        for number, label in enumerate(labels):
            lines.append(f"{number}.png,{label}," + patient.format(label, number % 3))
        (place / f"{name}.csv").write_text("\n".join(lines) + "\n")
    both = "unlabelled.overlap=transductive"
    labelled = prepared(place, both, f"labelled.source=csv:{place / 'many.csv'}").images.labelled
    halves = [labelled.split(seed) for seed in range(6)]
    for train, judge in halves:
        assert sorted([*train, *judge]) == list(range(20))
        assert not set(labelled.patients[train]) & set(labelled.patients[judge])
        assert set(labelled.labels[train]) == set(labelled.labels[judge]) == set(labels.tolist())
    assert len({tuple(train) for train, _ in halves}) > 1
    with pytest.raises(DataError, match=r"class '0' is in 1 patient; add patients"):
        prepared(place, both, f"labelled.source=csv:{place / 'lone.csv'}")
