"""Our own names in a safetensors file: what is exported comes back as it was, with its history."""

from random_donors import random_donor

from converters import convert, export
from efn_compose.donors.licences import licences_of
from efn_compose.donors.trained_for import TrainedFor


def test_what_is_known_of_weights_comes_back_with_them(tmp_path):
    step = {"step": "direct_sum", "provenance_of_others": [{"licence": "CC-BY-NC-4.0"}]}
    known = {"lineage": "ab12", "pretrained": [{"images": 5}], "dialect": "timm", "steps": [step]}
    said = TrainedFor(64, ("cat", "dog"))
    donor = random_donor(classes=2)
    donor = donor.replace(provenance=said.added_to({**donor.provenance, **known}))
    export(donor, to="safetensors", path=tmp_path / "own.safetensors")
    conversion = convert(tmp_path / "own.safetensors")
    again = conversion.donor
    assert again.fingerprint == donor.fingerprint
    assert {key: again.provenance[key] for key in donor.provenance} == donor.provenance
    assert licences_of(again.provenance) == ("Apache-2.0", "CC-BY-NC-4.0")
    assert TrainedFor.of(again.provenance, 2) == said
    assert conversion.report.source == "own.safetensors"
    # The file in between leaves no trace, however often weights go to and fro.
    export(again, to="safetensors", path=tmp_path / "again.safetensors")
    assert convert(tmp_path / "again.safetensors").donor.provenance == again.provenance
