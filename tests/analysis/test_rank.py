"""Ranking scores against brute force, other libraries and published costs."""

import json

import numpy as np
import pytest
from random_donors import photo_like, random_donor, two_repeats
from verbs import run_verb

from efn_compose.analysis.rank import plot_rank, pooled_features, rank, rank_table
from efn_compose.arch import arch_spec, default_conventions
from efn_compose.arch.cost import cost
from efn_compose.assess.transfer_scores import cosine_neighbours, h_score, log_me
from efn_compose.errors import ConfigError, DataError

#: With and without gates and repeats.
SPECS = [*map(two_repeats, ("b-w0.1-d1.1", "v2-b-w0.1-d1.1")), arch_spec("edge-w0.25-d0.3")]
RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 4
FEATURES = RNG.normal(size=(60, 12)) + 1.5 * RNG.normal(size=(4, 12))[LABELS]


def test_neighbours_equal_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=6, metric="cosine").fit(FEATURES)
    order = found.kneighbors(FEATURES, return_distance=False)[:, 1:]
    same = LABELS[order] == LABELS[:, None]
    top1, share = cosine_neighbours(FEATURES, LABELS)
    assert top1 == pytest.approx(same[:, 0].mean())
    assert share == pytest.approx(same.mean())
    assert 0.3 < share < 1


@pytest.mark.slow
@pytest.mark.parametrize("channels", [5, 12, 90])
def test_log_me_is_the_largest_evidence_a_numerical_search_finds(channels):
    from scipy.optimize import minimize
    from scipy.stats import multivariate_normal

    features = RNG.normal(size=(60, channels)) + 1.0 * (LABELS == 1)[:, None]

    def negative(log_precisions, target):
        prior, noise = np.exp(log_precisions)
        covariance = features @ features.T / prior + np.eye(60) / noise
        return -multivariate_normal.logpdf(target, np.zeros(60), covariance) / 60

    best = [
        -min(
            minimize(
                negative, start, args=((number == LABELS).astype(float),), method="Nelder-Mead"
            ).fun
            for start in ([0.0, 0.0], [3.0, 1.0])
        )
        for number in range(4)
    ]
    assert log_me(features, LABELS) == pytest.approx(np.mean(best), abs=2e-4)


def test_h_score_equals_its_definition_where_shrinkage_vanishes():
    many = np.tile(LABELS, 200)
    features = RNG.normal(size=(len(many), 3)) @ RNG.normal(size=(3, 3))
    features += RNG.normal(size=(4, 3))[many]
    means = np.stack([features[many == number].mean(axis=0) for number in range(4)])
    expected = np.trace(
        np.linalg.inv(np.cov(features.T, bias=True)) @ np.cov(means[many].T, bias=True)
    )
    assert h_score(features, many) == pytest.approx(expected, rel=0.01)
    assert h_score(RNG.normal(size=(60, 200)), LABELS) < h_score(FEATURES, LABELS)


@pytest.mark.parametrize(
    ("variant", "size", "millions", "tolerance"),
    # Papers and READMEs: EfficientNet table 2, Lite README, EfficientNetV2 table 7.
    [
        ("b0", 224, 390, 0.02),
        ("b4", 380, 4200, 0.06),
        ("b7", 600, 37000, 0.05),
        ("lite0", 224, 407, 0.06),
        ("lite1", 240, 631, 0.06),
        ("v2-s", 384, 8800, 0.06),
        ("v2-m", 480, 24000, 0.04),
    ],
)
def test_multiply_adds_equal_published_ones(variant, size, millions, tolerance):
    found = cost(arch_spec(variant), size, 1000).multiply_adds / 1e6
    assert found == pytest.approx(millions, rel=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_cost_equals_a_count_over_the_keras_layers(spec):
    from efn_compose.models import build_model

    model = build_model(spec, default_conventions(spec), input_shape=(45, 45, 3), classes=9)
    multiply_adds = activations = 0
    for layer in model.layers:
        if type(layer).__name__ not in ("Conv2D", "DepthwiseConv2D", "Dense"):
            continue
        outputs = int(np.prod(layer.output.shape[1:]))
        kernel = layer.kernel.shape
        depthwise = type(layer).__name__ == "DepthwiseConv2D"
        per_output = int(np.prod(kernel[:2] if depthwise else kernel[:-1]))
        multiply_adds += outputs * per_output
        activations += outputs
    found = cost(spec, 45, 9)
    assert (found.multiply_adds, found.activations) == (multiply_adds, activations)
    assert found.parameters == sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.slow
def test_the_donor_that_sees_the_classes_comes_first():
    """Classes are brightness levels; a donor that ignores its input cannot tell them apart."""
    labels = np.arange(40) % 4
    images = np.clip(photo_like(40).astype(int) // 4 + 50 * labels[:, None, None, None], 0, 255)
    seeing = random_donor("lite-w0.25-d0.3", seed=0)
    blind = random_donor("lite-w0.35-d0.3", seed=1).replace(name="blind")
    kernel = "stem_conv/kernel"
    blind = blind.replace(tensors={**blind.tensors, kernel: 0 * blind.tensors[kernel]})
    records = rank([blind, seeing], images.astype(np.uint8), labels)
    assert [record.name for record in records] == [seeing.name, "blind"]
    assert records[0].knn_share > 0.6 and records[0].log_me > records[1].log_me
    assert records[1].h_score == pytest.approx(0, abs=1e-3)
    assert all(record.images_per_second > 0 for record in records)
    table = rank_table(records).splitlines()
    assert len(table) == 3 and table[1].startswith(seeing.name)
    axes = plot_rank(records).axes[0]
    assert len(axes.collections) == 2


def test_features_are_those_of_the_keras_model():
    donor = random_donor()
    images = photo_like(5)
    features, _ = pooled_features(donor, images, batch_size=2)
    maps = np.asarray(
        donor.build(input_shape=(32, 32, 3), include_top=False)(donor.preprocess(images))
    )
    np.testing.assert_allclose(features, maps.mean(axis=(1, 2)), atol=1e-4 * maps.std())


def test_wrong_data_is_refused():
    with pytest.raises(DataError, match="one label each"):
        rank([], photo_like(4), np.zeros(3))
    with pytest.raises(DataError, match="at least two classes"):
        rank([], photo_like(4), np.zeros(4))


@pytest.mark.slow
def test_the_verb_prints_table_and_json(tmp_path, capsys):
    for seed in (0, 1):
        random_donor(seed=seed).save(tmp_path / f"nano{seed}.h5")
    words = [
        *(tmp_path / f"nano{seed}.h5" for seed in (0, 1)),
        *("--data", "digits", "--size", "32", "--image-count", "60"),
    ]
    assert run_verb("rank", *words, "--json", "--plot", tmp_path / "rank.png") == 0
    fields = json.loads(capsys.readouterr().out)
    assert {donor["name"] for donor in fields["donors"]} == {"nano0", "nano1"}
    assert fields["images"] == 60
    assert (tmp_path / "rank.png").read_bytes().startswith(b"\x89PNG")
    # Found out before a donor is read.
    for plot, said in (("rank.xyz", r"must end in .*\.png"), ("none/rank.png", "does not exist")):
        with pytest.raises(ConfigError, match=said):
            run_verb("rank", tmp_path / "none.h5", *words[2:], "--plot", tmp_path / plot)
    assert run_verb("rank", *words) == 0
    assert "nano1" in capsys.readouterr().out
