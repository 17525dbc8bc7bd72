"""Composing networks with decoders: the decoder's steps and units are parts like all others."""

import numpy as np
import pytest
from float64_networks import random_images
from random_donors import random_donor

from efn_compose.arch import DecoderSpec, channel_groups, inventory
from efn_compose.compose import GenomeSpace, compose, genome_space
from efn_compose.compose.space import DECODER, DonorMap, expanded_groups, segment_of, segments
from efn_compose.donors.unet import attached, joined, parted
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.soups import uniform_soup

VARIANT = "b-w0.3-d0.3"
KINDS = [DecoderSpec("mirror"), DecoderSpec("mirror", repeats="all"), DecoderSpec("classic")]


def pair(decoder=KINDS[0]):
    return [joined(attached(random_donor(VARIANT, seed), decoder, seed)) for seed in (1, 2)]


def masks(donor, inputs):
    return NumpyNetwork(WeightSource.of(donor)).masks(inputs)


def equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("decoder", KINDS)
@pytest.mark.parametrize("granularity", ["stage", "block", "unit", "filter"])
def test_the_genome_of_one_donor_gives_that_donor_with_its_decoder(decoder, granularity):
    donors = pair(decoder)
    spec = donors[0].spec
    tables = [donor.tensors for donor in donors]
    space = genome_space(spec, 2, granularity)
    names = {tensor.name for tensor in inventory(spec)}
    for number in (0, 1):
        found = compose(spec, tables, space.decode(space.pure(number)))
        equal(found, {n: v for n, v in tables[number].items() if n in names})


def test_every_tensor_of_a_decoder_is_of_a_segment():
    spec = pair()[0].spec
    assert {segment_of(tensor) for tensor in inventory(spec)} == set(segments(spec))
    assert segments(spec)[-1] == "decoder_output"
    steps = GenomeSpace(spec, 2, "stage").loci[-1]
    assert steps.name == DECODER and len(steps.segments) == 6


def test_an_encoder_under_another_decoder_draws_what_that_one_draws_on_it():
    one, other = pair()
    space = GenomeSpace(one.spec, 2, "stage")
    genome = (*(0,) * (len(space.loci) - 1), 1)
    found = compose(one.spec, [one.tensors, other.tensors], space.decode(genome))
    # The same network, made by hand: the decoder's part put on the other encoder.
    wanted = joined(parted(one).replace(parts=parted(other).parts))
    equal(found, {name: wanted.tensors[name] for name in found})
    mixed = one.replace(tensors={**one.tensors, **found})
    inputs = random_images(1)
    np.testing.assert_array_equal(masks(mixed, inputs), masks(wanted, inputs))


def test_units_of_a_decoder_that_a_donor_spoils_come_from_the_other_one_whole():
    (donor, _), rng = pair(), np.random.default_rng(0)
    groups = channel_groups(donor.spec)
    names = [name for name in expanded_groups(donor.spec).values() if name.startswith("decoder")]
    assert len(names) == 4
    spoiled, units = {n: v.copy() for n, v in donor.tensors.items()}, {}
    for name in names:
        units[name] = (rng.random(groups[name].size) < 0.5).astype(np.uint8)
        for member in groups[name].members:
            values = np.moveaxis(spoiled[member.tensor.name], member.axis, 0)
            values[units[name] == 1] = np.nan
    assert any(np.isnan(values).any() for values in spoiled.values())
    donor_map = DonorMap(dict.fromkeys(segments(donor.spec), 0), units)
    found = compose(donor.spec, [spoiled, donor.tensors], donor_map)
    equal(found, {name: donor.tensors[name] for name in found})


def test_a_soup_of_two_decoders_on_one_encoder_is_the_mean_of_both():
    one, other = pair()
    same = joined(parted(one).replace(parts=parted(other).parts))
    soup = uniform_soup([one, same], allow_unrelated=True)
    name = "decoder_step1_expand_skip_conv/kernel"
    mean = (one.tensors[name].astype(float) + same.tensors[name]) / 2
    np.testing.assert_allclose(soup.tensors[name], mean, atol=1e-6)
    assert parted(soup).part_names[-1] == "decoder"
