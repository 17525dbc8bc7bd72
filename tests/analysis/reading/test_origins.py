"""Where a donor comes from, in words: no training on the way is left out."""

from efn_compose.analysis.reading.composition.origins import origin_words


def test_a_pretrained_donor_is_not_called_the_package_it_began_as():
    provenance = {
        "source": "package:lite1",
        "pretrained": [
            {"method": "vicreg", "images": 3600},
            {"method": "rotation", "images": 1000},
            "junk",
        ],
        "absorbed": {"images": 237},
    }
    assert origin_words(provenance) == (
        "package:lite1; pretrained by vicreg on 3,600 images; pretrained by rotation on 1,000 images; "
        "BatchNorm rewritten for other images' statistics, function kept"
    )


def test_a_trained_donor_is_called_trained():
    found = origin_words({"source": "a.pth", "trained_for": {"size": 32, "class_names": ["a"]}})
    assert found == "a.pth; trained on labelled images"
