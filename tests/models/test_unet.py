"""U-Nets: the same function by all ways to run it, at odd sizes, and the library's decoder."""

import keras
import numpy as np
import pytest
from random_donors import photo_like, random_donor, small_v2_s

from efn_compose.arch import DecoderSpec, channel_groups, feature_points
from efn_compose.donors.alignment.transform import permute_group
from efn_compose.donors.unet import attached, joined
from efn_compose.models import model_variables
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.models.unet import build_unet
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

pytestmark = pytest.mark.slow
#: The product's gate for float32, relative to the largest value.
GATE = 4.4e-5


def unet_of(spec, decoder, dtype="float32", **conventions):
    donor = random_donor(spec, classes=None, dtype=dtype, **conventions)
    return joined(attached(donor, decoder, seed=1))


def keras_unet(whole):
    model = build_unet(whole.spec, whole.conventions)
    for name, variable in model_variables(model, whole.spec, None, has_top=False).items():
        variable.assign(whole.tensors[name])
    return model


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("kind", ["classic", "mirror"])
def test_keras_tensorflow_and_numpy_agree_at_odd_sizes(kind, padding):
    whole = unet_of("b-w0.1-d0.3", DecoderSpec(kind, outputs=3), padding=padding)
    model = keras_unet(whole)
    for height, width in ((65, 97), (64, 33)):
        x = whole.preprocess(photo_like(2, 97)[:, :height, :width])
        found = np.asarray(model(x))
        assert found.shape == (2, height, width, 3)
        expected = NumpyNetwork(WeightSource.of(whole)).masks(x)
        scale = np.abs(expected).max()
        assert np.abs(found - expected).max() < GATE * scale
        stepwise = StepwiseNetwork.of(whole, "float64").run(x)
        assert np.abs(stepwise - expected).max() < 1e-12 * scale


@pytest.mark.parametrize("decoder", [DecoderSpec(), DecoderSpec("mirror", repeats="all")])
def test_fused_stages_and_a_stem_that_is_a_stream_have_decoders(decoder):
    whole = unet_of(small_v2_s(), decoder)
    x = whole.preprocess(photo_like(2, 45))
    expected = NumpyNetwork(WeightSource.of(whole)).masks(x)
    assert np.abs(keras_unet(whole)(x) - expected).max() < GATE * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["classic", "mirror"])
def test_permuting_any_group_leaves_the_masks(kind, chance):
    whole = unet_of("b-w0.1-d0.3", DecoderSpec(kind, outputs=1), "float64")
    x = whole.preprocess(photo_like(1, 33)).astype(np.float64)
    expected = NumpyNetwork(WeightSource.of(whole)).masks(x)
    rng = np.random.default_rng(chance.randrange(10**6))
    tensors = dict(whole.tensors)
    for group in channel_groups(whole.spec).values():
        permute_group(tensors, group, rng.permutation(group.size))
    found = NumpyNetwork(WeightSource.of(whole.replace(tensors=tensors))).masks(x)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
    # The encoder alone, without what the decoder reads of it, is another network.
    for name in [name for name in tensors if name.endswith("_skip_conv/kernel")]:
        tensors[name] = whole.tensors[name]
    wrong = NumpyNetwork(WeightSource.of(whole.replace(tensors=tensors))).masks(x)
    assert np.abs(wrong - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parity
@pytest.mark.parametrize("side", [64, 65, 97])
def test_the_classic_decoder_is_that_of_segmentation_models_pytorch(side):
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import torch
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

    whole = unet_of("b-w0.1-d0.3", DecoderSpec(outputs=2), bn_epsilon=1e-5)
    points = feature_points(whole.spec)
    torch.manual_seed(side)
    theirs = UnetDecoder([3, *(point.channels for point in points)], (256, 128, 64, 32, 16))
    for name, value in theirs.state_dict().items():
        if value.dtype.is_floating_point:  # smp's fresh shifts are 0 and its variances 1
            drawn = torch.rand_like(value) * 0.8 + 0.6 if value.ndim == 1 else value
            theirs.state_dict()[name].copy_(drawn)
    model = keras_unet(whole)
    copy_decoder(theirs.state_dict(), model)
    taps = [model.get_layer(point.layer).output for point in points]
    last = model.get_layer("decoder_output").input
    x = whole.preprocess(photo_like(2, side))
    *features, found = keras.Model(model.input, [*taps, last])(x)
    maps = [torch.from_numpy(np.array(f).transpose(0, 3, 1, 2)) for f in (x, *features)]
    with torch.no_grad():
        expected = theirs.eval()(maps).numpy().transpose(0, 2, 3, 1)
    assert np.abs(found - expected).max() < GATE * np.abs(expected).max()


def copy_decoder(state, model):
    """Give a U-Net the weights of smp's decoder; their convolution reads map and skip as one."""
    for step in range(5):
        for number, name in enumerate(("first", "second"), start=1):
            theirs, ours = f"blocks.{step}.conv{number}", f"decoder_step{step + 1}_{name}"
            kernel = state[f"{theirs}.0.weight"].numpy().transpose(2, 3, 1, 0)
            below = model.get_layer(f"{ours}_conv")
            count = below.kernel.shape[2]
            below.kernel.assign(kernel[:, :, :count])
            if kernel.shape[2] > count:
                model.get_layer(f"{ours}_skip_conv").kernel.assign(kernel[:, :, count:])
            norm = ("weight", "bias", "running_mean", "running_var")
            model.get_layer(f"{ours}_bn").set_weights(
                [state[f"{theirs}.1.{role}"].numpy() for role in norm]
            )
