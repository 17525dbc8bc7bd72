"""The night on skin lesions at full size: four cards, 64 GB, ISIC 2020's counts; checked, not run."""

import json

import numpy as np
import pytest
from repository import ROOT

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.cli import main
from efn_compose.donors import Donor
from efn_compose.jobs.memory_plan import Machine

GB = int(1e9)
#: Labelled images of ISIC 2020: published. Of new ones there are fewer here.
LABELLED, ASKED = 33_126, 40


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with files of the same form: B5 of zeros, tables of empty images."""
    folder = tmp_path_factory.mktemp("melanoma")
    spec = arch_spec("b5")
    tensors = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in inventory(spec)}
    Donor("b5", spec, default_conventions(spec), tensors, {}).save(folder / "b5.h5")
    for part, count, first in (("train", LABELLED, 0), ("test", ASKED, 40_000)):
        (folder / part).mkdir()
        rows = ["image_name,patient_id,target"]
        for number in range(first, first + count):
            (folder / part / f"{number}.jpg").touch()
            rows.append(f"{number},IP_{number // 16},{number % 2}")
        (folder / f"{part}.csv").write_text("\n".join(rows))
    return folder


def arguments_of(place):
    donors = json.dumps([f"b5={place}/b5.h5", "{relative}"])
    tables = [f"{chapter}.data.source=csv:{place}/train.csv"
              for chapter in ("magic", "networks", "larger_networks")]  # fmt: skip
    return [
        "pipeline", str(ROOT / "experiments/melanoma.toml"), "-o", str(place / "run"), "--dry-run",
        "--json", "--set", f"relative.weights.file={place}/b5.h5", f"magic.donors.files={donors}",
        f"relative.unlabelled.source=folder:{place}/test", f"relative.labelled.source=csv:{place}/train.csv",
        *tables, f"first.predict.source=csv:{place}/test.csv", f"answer.data.source=csv:{place}/test.csv",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_night_fits_on_four_cards_and_64_gigabytes(place, monkeypatch, capsys):
    monkeypatch.setattr(Machine, "here", lambda: Machine(64 * GB, 100 * GB))
    monkeypatch.setattr(
        "efn_compose.jobs.pipeline.checks.whole.free_bytes", lambda folder: 500 * GB
    )
    assert main(arguments_of(place)) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["chapter"]: row for row in found["chapters"]}
    assert list(rows) == [
        "plan_b", "relative", "magic", "networks", "first", "larger", "larger_networks", "answer",
    ]  # fmt: skip
    for name in ("relative", "magic", "networks", "larger_networks"):
        assert 10 * GB < rows[name]["memory_bytes"] < 0.9 * 64 * GB
    # B5 has 28.3 million parameters without its classifier, B6 40.7 million: published. A training keeps
    # its weights, two moments and another file: 16 bytes per parameter; there are five folds.
    for name, millions in (("networks", 28.3), ("larger_networks", 40.7)):
        assert rows[name]["disk_bytes"] == pytest.approx(5 * 16 * millions * 1e6, rel=0.01)
    # Three chapters read one decoded copy of the images of 456 px; 40 others are no case for the cache.
    assert found["cache_bytes"] == LABELLED * 456 * 456 * 3 and found["notes"] == []
    # Here is no card to measure on, and no time is made up.
    assert found["seconds"] is None and "GPU" in found["time"]
    assert not (place / "run").exists()
