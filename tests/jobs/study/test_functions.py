"""Networks of other libraries in a study."""

import pytest
from tiny_study import settings, study_place

from efn_compose.errors import ConfigError
from efn_compose.jobs.study.job import study
from efn_compose.jobs.study.named import find_function


@pytest.mark.slow
def test_networks_of_functions_are_trained_beside_our_own(tmp_path, monkeypatch):
    place = study_place(tmp_path)
    (place / "studied_nets.py").write_text(
        "import keras\n"
        "def plain():\n"
        "    pixels = keras.Input((None, None, 3))\n"
        "    maps = keras.layers.Conv2D(8, 3, 2)(keras.layers.Rescaling(1 / 255)(pixels))\n"
        "    maps = keras.layers.ReLU()(keras.layers.BatchNormalization()(maps))\n"
        "    return keras.Model(pixels, keras.layers.Dropout(0.1)(maps))\n"
        "def flat():\n"
        "    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])\n"
    )
    monkeypatch.syspath_prepend(place)
    names = "studied_nets:plain,studied_nets:flat"
    factors = "train.head_start=random|class_means"
    changes = {"study__factors": factors, "study__resolutions": "16", "study__networks": names}
    changes |= {"train__epochs": 20, "train__learning_rate": 0.05}
    summary = study(overrides=settings(place, "functions", **changes), quiet=True)
    plain = [row for row in summary.view.rows if not row.error]
    flat = [row for row in summary.view.rows if row.error]
    assert len(plain) == len(flat) == 2 * 2
    # Which quarter is bright needs no depth, but more than chance, 0.25, needs training.
    assert min(row.scores["accuracy"] for row in plain) > 0.35
    assert all("must return a Keras model that ends" in row.error for row in flat)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def net(:\n", "SyntaxError, .*broken_nets_0.py, line 1"),
        ("\nimport math\nwidth = unknown\n", r"NameError, .*\(broken_nets_1.py, line 3\)"),
    ],
)
def test_a_mistake_in_the_persons_module_is_said_with_its_line(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"broken_nets_{int('math' in text)}"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(ConfigError, match=f"{name} cannot be imported: {words}"):
        find_function(f"{name}:net")
