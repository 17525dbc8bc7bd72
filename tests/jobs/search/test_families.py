"""Every family goes the whole way: a search, its weight file, nested larger and cut smaller."""

import keras
import numpy as np
import pytest
from nano_run import write_nano_experiment
from random_donors import first_stages, photo_like, random_donor

from efn_compose.arch import arch_spec
from efn_compose.compose import compose, genome_space
from efn_compose.donors import load_donor
from efn_compose.jobs.search.job import evolve
from efn_compose.models import assign_weights
from efn_compose.nesting import nest, shrink, verify_nesting

#: A nano member of each family that is not V1, Lite or V2-Bx, and a larger one of its base.
FAMILIES = {
    "v2-s-w0.2-d0.1": "v2-s-w0.3-d0.2",
    "tinynet-w0.1-d0.3": "tinynet-w0.2-d0.6",
    "mnasnet-a1-w0.1-d0.2": "mnasnet-a1-w0.2-d0.5",
    "mnasnet-b1-w0.1-d0.2": "mnasnet-b1-w0.2-d0.4",
    "mnasnet-small-w0.5-d0.2": "mnasnet-small-w1-d0.5",
}


@pytest.mark.parametrize("variant", FAMILIES)
def test_a_composition_is_its_donor_or_takes_every_tensor_from_one(variant):
    donors = [random_donor(variant, seed, classes=None).tensors for seed in (1, 2)]
    spec = arch_spec(variant)
    space = genome_space(spec, 2, "block")
    for number, tensors in enumerate(donors):
        composed = compose(spec, donors, space.decode((number,) * len(space.loci)))
        for name, values in composed.items():
            np.testing.assert_array_equal(values, tensors[name])
    rng = np.random.default_rng(0)
    genome = tuple(int(gene) for gene in rng.integers(0, 2, len(space.loci)))
    mixed = compose(spec, donors, space.decode(genome))
    for name, values in mixed.items():
        assert any(np.array_equal(values, tensors[name]) for tensors in donors), name


@pytest.mark.slow
@pytest.mark.parametrize(("small", "large"), FAMILIES.items())
def test_a_nested_donor_keeps_its_function_and_is_found_again(small, large):
    donor = random_donor(small)
    nested = nest(donor, large, fill="zero")
    assert verify_nesting(nested, [donor]).relative < 1e-3
    again = shrink(nested, small)
    images = donor.preprocess(photo_like(4, seed=5))
    model = donor.build()
    expected = np.asarray(model(images))
    assign_weights(model, again.spec, again.tensors, again.classes)
    found = np.asarray(model(images))
    assert (again.spec, again.conventions) == (donor.spec, donor.conventions)
    assert np.abs(found - expected).max() < 0.05 * expected.std()


@pytest.mark.slow
# Of MnasNet as many stages as there are kinds of blocks: unexpanded, expanded, with gates.
@pytest.mark.parametrize(
    "spec", [first_stages("tinynet-w0.1-d0.3", 2), first_stages("mnasnet-a1-w0.1-d0.2", 3)]
)
def test_a_search_writes_weights_that_load_again(spec, tmp_path):
    shape = {"population": 3, "generations": 1, "noise_repeats": 0, "finalists": 1}
    config = write_nano_experiment(tmp_path, spec, **shape)
    evolve(str(config), ["donors.siblings=0", "donors.align=never"])
    file = tmp_path / "run" / "efn_magic_weights.h5"
    written = load_donor(file)
    assert written.spec == spec
    images = written.preprocess(photo_like(3))
    model = written.build(include_top=False)
    expected = np.asarray(model(images))
    # As a user without this library's loader would: by topology, into the plain network.
    keras.utils.set_random_seed(1)
    for variable in model.variables:
        variable.assign(np.zeros(variable.shape))
    model.load_weights(file)
    np.testing.assert_array_equal(np.asarray(model(images)), expected)
