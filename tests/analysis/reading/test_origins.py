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


def test_what_a_search_found_is_named_by_its_donors():
    magic = {"made_by": "efn_compose.evolve", "donors": [{"name": "base"}, {"name": "views"}, 1]}
    assert origin_words(magic) == "found by a search over base, views"
    found = origin_words({**magic, "trained_before": {"size": 32}})
    assert found == "found by a search over base, views; trained on labelled images"
    assert origin_words({"made_by": "somebody"}) == "unknown"
