"""The catalogue of public donors says what the converters would report."""

import re
from pathlib import Path

import numpy as np
import pytest

from converters import CONVERTERS
from converters.catalogue import catalogue_table, known_donors
from converters.timm_names import TAGS
from efn_compose.arch import PREPROCESSINGS, VARIANTS, arch_spec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.checkpoints.dialects.layouts import LAYOUTS

ENTRIES = {entry["id"]: entry for entry in known_donors()}
REQUIRED = {
    "id", "dialect", "fetch", "licence", "classes", "resolution", "padding", "bn_epsilon",
    "activation", "preprocessing",
}  # fmt: skip


def variant_of(entry):
    """Return the table's network that an entry's name stands for, or None."""
    name = entry.get("arch", "").partition(".")[0].removeprefix("adv-").removeprefix("tf_")
    if "mnasnet" in name:
        widths = {
            "mnasnet_small": "mnasnet-small",
            "semnasnet_075": "mnasnet-a1-w0.75-d1",
            "semnasnet_100": "mnasnet-a1",
            "mnasnet_100": "mnasnet-b1",
            "mnasnet1_0": "mnasnet-b1",
        }
        return (
            widths.get(name) or f"mnasnet-b1-w{name.removeprefix('mnasnet').replace('_', '.')}-d1"
        )
    if "pruned" in name or "_rw_" in name:
        return None
    name = re.sub(r"^efficientnet[-_]?", "", name).replace("_", "-")
    name = re.sub(r"^v2-?", "v2-", name)
    return name if name in VARIANTS else None


def checkpoint_of(entry, spec):
    """Return a checkpoint with the names and shapes of an entry's file and no values."""
    tensors = {}
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, entry["classes"])}
    for row in CONVERTERS[entry["dialect"]].rows(spec, entry["classes"], None):
        empty = np.broadcast_to(np.zeros((), np.float32), shapes[row.canonical])
        layout = LAYOUTS[row.layout]
        shape = empty.shape
        if not layout.is_identity and row.layout != "identity":
            shape = np.empty(empty.shape, "?").transpose(np.argsort(layout.transpose)).shape
        name = f"net/{row.foreign}" if entry["dialect"] == "tf_official" else row.foreign
        tensors[name] = RawTensor(name, shape, "float32", lambda: np.zeros(0))
    path = Path(entry["fetch"].rpartition("/")[2])
    return RawCheckpoint(path, "torch-zip", tensors, {"ema": True})


def test_entries_are_complete_and_name_known_things():
    for key, entry in ENTRIES.items():
        assert set(entry) >= REQUIRED, key
        assert entry["dialect"] in CONVERTERS and entry["preprocessing"] in PREPROCESSINGS, key
        assert ("top1" in entry) == ("top1_source" in entry), key
        # The smallest, TinyNet-E, was published with 59.9 %.
        assert 59 < entry.get("top1", 75) < 90, key


def test_every_timm_tag_is_listed():
    listed = {key.removeprefix("timm:") for key in ENTRIES if key.startswith("timm:")}
    assert listed == {f"{model}.{tag}" for model, tags in TAGS.items() for tag in tags}


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        key
        for key, entry in ENTRIES.items()
        if entry["dialect"] not in ("keras_applications",) and variant_of(entry)
    ],
)
def test_conventions_are_those_the_converter_reports(key):
    entry = ENTRIES[key]
    spec = arch_spec(variant_of(entry))
    raw = checkpoint_of(entry, spec)
    dialect = CONVERTERS[entry["dialect"]]
    request = Request(arch=entry["arch"])
    assert dialect.recognise(raw)
    rules = dialect.resolve(raw, spec, request).conventions
    assert rules.padding == entry["padding"]
    assert rules.bn_epsilon == entry["bn_epsilon"]
    assert rules.activation == entry["activation"]
    assert rules.preprocessing == PREPROCESSINGS[entry["preprocessing"]]


def test_a_v2_base_tag_does_not_rescale_v2_s():
    entry = {"dialect": "tf_official", "classes": 1000, "fetch": "model.ckpt"}
    raw, spec = checkpoint_of(entry, arch_spec("v2-s")), arch_spec("v2-s")
    resolve = CONVERTERS["tf_official"].resolve
    for arch in (None, "efficientnetv2-s", "efficientnetv2-s.in1k"):
        rules = resolve(raw, spec, Request(arch=arch)).conventions
        assert rules.preprocessing == PREPROCESSINGS["v2"]


def test_real_checksums(tmp_path):
    from converters.reading.sources import local_source

    for key in (key for key in ENTRIES if key.startswith("package:")):
        raw = RawCheckpoint(local_source(key).path, "torch-legacy", {})
        assert raw.sha256 == ENTRIES[key]["sha256"]


def test_known_donors_are_found_by_parts_of_their_names():
    assert len(known_donors()) == len(ENTRIES)
    found = [entry["id"] for entry in known_donors("B0", "ra")]
    assert "timm:efficientnet_b0.ra_in1k" in found
    assert all("b0" in key and "ra" in key for key in found)
    table = catalogue_table(known_donors("efficientnet_b0.ra_in1k"))
    assert "timm:efficientnet_b0.ra_in1k" in table and "77.7" in table and "Apache-2.0" in table
    assert "no public donor" in catalogue_table([])
