"""Decoders as operations: sizes, chains, counts by formula, and what the tables say of skips."""

import pytest

from efn_compose.arch import (
    VARIANTS,
    DecoderSpec,
    arch_spec,
    channel_groups,
    decoder_operations,
    feature_points,
    follow,
    inventory,
    parameter_count,
    unet_walk,
)
from efn_compose.errors import ConfigError

KINDS = (DecoderSpec(), DecoderSpec("mirror"), DecoderSpec("mirror", repeats="all"))


@pytest.mark.parametrize(
    "variant", [*VARIANTS, "b-w0.1-d0.3", "lite-w0.25-d0.3", "v2-s-w0.25-d0.4"]
)
def test_every_network_has_decoders_whose_operations_chain_and_end_at_the_image_size(variant):
    for decoder in (*KINDS, DecoderSpec("mirror", outputs=3, skips=False)):
        spec = arch_spec(variant).with_decoder(decoder)
        walk = unet_walk(spec)
        made = {"image": (3, None)}
        for operation in walk:
            assert made[operation.reads[0]] == (operation.in_channels, operation.group_in)
            made[operation.name] = (operation.out_channels, operation.group_out)
            if operation.kind == "add":
                assert len({made[name] for name in (*operation.reads, operation.name)}) == 1
        assert len(made) == len(walk) + 1, "two operations of one name"
        for size in (32, 65, 97, 225):

            def side(operation, mine, *others):
                if operation.kind == "enlarge":
                    # Cut, never padded: the map is as large as the other, or larger.
                    assert mine * operation.stride >= others[0]
                    return others[0]
                if operation.kind == "squeeze":
                    return 1
                if operation.kind == "add":
                    assert mine == others[0]
                return -(-mine // operation.stride)

            assert follow(walk, size, side) == size
        assert made["decoder_output"] == (decoder.outputs, None)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_classic_decoder_has_the_parameters_of_its_formula(variant):
    spec = arch_spec(variant)
    points = feature_points(spec)
    skips = [point.channels for point in reversed(points[:-1])] + [0]
    below = [points[-1].channels, 256, 128, 64, 32]
    # Two 3 x 3 convolutions and the scales and shifts of two BatchNorms per step; the output.
    expected = sum(
        9 * (low + skip) * width + 9 * width * width + 4 * width
        for low, skip, width in zip(below, skips, (256, 128, 64, 32, 16), strict=True)
    )
    expected += 9 * 16 * 4 + 4
    whole = parameter_count(spec.with_decoder(DecoderSpec(outputs=4)))
    assert whole - parameter_count(spec) == expected


def test_a_mirror_has_the_widths_kernels_and_gates_of_the_stages():
    operations = {op.name: op for op in decoder_operations(arch_spec("b0").with_decoder(KINDS[2]))}
    # B0 backwards: 112 channels by 5 x 5, then 40 by 5 x 5, 24 by 3 x 3, 16 by 3 x 3 without expansion.
    found = [
        (
            operations[f"decoder_step{step}_project_conv"].out_channels,
            operations[f"decoder_step{step}_depthwise_conv"].kernel,
            operations[f"decoder_step{step}_expand_conv"].out_channels,
        )
        for step in (1, 2, 3, 4)
    ]
    assert found == [(112, 5, 672), (40, 5, 240), (24, 3, 144), (16, 3, 16)]
    assert operations["decoder_step5_only_conv"].out_channels == 32
    # Stage 5 has three blocks, stages 3 and 2 two, stage 1 one.
    repeats = [sum(f"step{n}_block" in name and name.endswith("_add") for name in operations)
               for n in (1, 2, 3, 4)]  # fmt: skip
    assert repeats == [2, 1, 1, 0]


def test_a_skip_is_one_more_reader_of_its_stream():
    spec = arch_spec("b0")
    before = channel_groups(spec)
    for decoder in KINDS:
        after = channel_groups(spec.with_decoder(decoder))
        for point in feature_points(spec)[:-1]:
            new = [m for m in after[point.group].members if m not in before[point.group].members]
            assert [member.use for member in new] == ["in"]
            assert new[0].tensor.layer.endswith("_skip_conv")
            assert after[point.group].is_linear == before[point.group].is_linear
        without = DecoderSpec(decoder.kind, skips=False, repeats=decoder.repeats)
        bare = channel_groups(spec.with_decoder(without))
        assert all(bare[point.group] == before[point.group] for point in feature_points(spec)[:-1])


def test_a_network_without_a_decoder_is_what_it_was():
    spec = arch_spec("b0")
    unet = spec.with_decoder(KINDS[1])
    assert "decoder" not in spec.to_json() and unet.with_decoder(None) == spec
    assert type(spec).from_json(unet.to_json()) == unet and not unet.same_tensors_as(spec)
    assert inventory(unet, 1000)[: len(inventory(spec, 1000))] == inventory(spec, 1000)


def test_decoders_that_do_not_exist_are_refused_all_at_once():
    with pytest.raises(ConfigError) as caught:
        DecoderSpec("unet++", outputs=0, repeats="some")
    assert all(word in str(caught.value) for word in ("kind", "outputs", "repeats"))
    with pytest.raises(ConfigError, match="mirror"):
        DecoderSpec("classic", repeats="all")
