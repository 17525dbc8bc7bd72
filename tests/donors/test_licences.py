"""Licences of weights made from weights that were made from weights."""

from efn_compose.donors.licences import licences_of, resulting_licence


def test_a_licence_is_found_however_often_networks_were_put_side_by_side():
    provenance = {"licence": "CC-BY-NC-4.0"}
    for _ in range(6):  # as `direct_sum` writes it
        steps = [{"step": "direct_sum", "provenance_of_others": [provenance]}]
        provenance = {"licence": "MIT", "steps": steps}
    assert licences_of(provenance) == ("CC-BY-NC-4.0", "MIT")
    assert "forbids commercial use" in resulting_licence([provenance]).words


def test_the_result_of_one_search_is_a_donor_of_the_next():
    first = resulting_licence([{"licence": "Apache-2.0"}, {"licence": "MIT"}])
    second = resulting_licence([{"licence": first.name}, {"licence": "MIT"}])
    assert second == first
    assert second.name == "Apache-2.0 AND MIT"
    assert "permissive" in second.words


def test_an_unknown_part_of_a_licence_stays_unknown():
    first = resulting_licence([{"licence": "MIT"}, {}])
    second = resulting_licence([{"licence": first.name}])
    assert (first.name, second.name) == ("MIT AND unknown",) * 2
    assert not second.is_known
