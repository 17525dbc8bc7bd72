"""The surrogate is the Gaussian process of the textbook, and its minimum is one."""

import math
import random
from dataclasses import astuple

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from threadpoolctl import threadpool_limits

from efn_compose.arch import arch_spec
from efn_compose.compose import ShareGenomeSpace
from efn_compose.evolve.genetic.shares.surrogate import Scales, Surrogate

SCALES = Scales(length=0.7, bend=0.9, noise=0.5, luck=0.3)


def made_up(count, genes, seed=0, generations=8):
    """Return points, generations and losses of a bowl with noise and luck."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 1.5, (count, genes))
    numbers = np.arange(count) % generations
    luck = rng.normal(0, 0.1, generations)
    losses = ((points - 0.4) ** 2).mean(axis=1) + luck[numbers] + rng.normal(0, 0.03, count)
    return points, numbers, losses


@pytest.mark.parametrize("genes", [8, 18])
def test_beliefs_are_those_of_scikit_learn(genes):
    points, _, losses = made_up(30, genes)
    # With a generation for each evaluation its luck is noise, as scikit-learn can say.
    surrogate = Surrogate(points, np.arange(30), losses, SCALES)
    scale = math.sqrt(genes / 8)
    kernel = ConstantKernel(SCALES.bend**2) * RBF(SCALES.length) + ConstantKernel(10.0)
    noise = SCALES.noise**2 + SCALES.luck**2 + 1e-6
    oracle = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
    centred = (losses - losses.mean()) / losses.std()
    oracle.fit(points / scale, centred)
    asked = np.random.default_rng(1).uniform(-0.5, 1.5, (20, genes))
    mean, deviation = oracle.predict(asked / scale, return_std=True)
    found = surrogate.believed(asked)
    np.testing.assert_allclose(found[0], mean * losses.std() + losses.mean(), rtol=1e-6)
    np.testing.assert_allclose(found[1], deviation * losses.std(), rtol=1e-5)


def test_scales_are_as_probable_as_scipy_says_and_none_near_is_more_so():
    points, numbers, losses = made_up(24, 3)
    surrogate = Surrogate(points, numbers, losses)
    logs = np.log(astuple(surrogate.scales))

    def improbability(values):
        covariance, _ = surrogate._covariance(Scales(*np.exp(values)))
        density = multivariate_normal(cov=covariance).logpdf(
            (losses - losses.mean()) / losses.std()
        )
        typical, widths = np.log([0.8, 1.0, 0.5, 0.2]), np.array([0.5, 0.7, 0.7, 0.7])
        return -density + (((values - typical) / widths) ** 2).sum() / 2

    constant = 24 * math.log(2 * math.pi) / 2
    assert improbability(logs) == pytest.approx(surrogate._improbability(logs)[0] + constant)
    elsewhere = logs + np.array([0.3, -0.2, 0.2, -0.4])
    slope = approx_fprime(elsewhere, improbability, 1e-6)
    np.testing.assert_allclose(surrogate._improbability(elsewhere)[1], slope, rtol=1e-3, atol=1e-4)
    rng = np.random.default_rng(0)
    others = [improbability(logs + rng.normal(0, 0.2, 4)) for _ in range(50)]
    assert min(others) > improbability(logs)


def test_the_luck_of_a_generation_moves_beliefs_much_less_than_it_moves_losses():
    points, numbers, losses = made_up(40, 2, generations=4)
    scales = Scales(0.8, 1.0, 0.2, 1.0)
    asked = np.random.default_rng(1).uniform(-0.5, 1.5, (50, 2))
    before = Surrogate(points, numbers, losses, scales).believed(asked)[0]
    unlucky = losses + 0.3 * (numbers == 2)
    after = Surrogate(points, numbers, unlucky, scales).believed(asked)[0]
    # A quarter of all evaluations is moved: beliefs without luck would differ by place.
    assert np.ptp(after - before) < 0.1 * 0.3


@pytest.mark.parametrize("caution", [0.0, 1.0, 4.0])
def test_the_minimum_is_as_low_as_that_of_a_fine_grid(caution):
    points, numbers, losses = made_up(60, 2)
    surrogate = Surrogate(points, numbers, losses)
    axis = np.linspace(-0.5, 1.5, 201)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    found = surrogate.minimum(caution)

    def cautious(places):
        mean, deviation = surrogate.believed(places)
        return mean + caution * deviation

    # A grid of 40,000 points is taken in parts: its covariance would not fit.
    lowest = min(cautious(part).min() for part in np.array_split(grid, 200))
    assert cautious(found[None])[0] <= lowest + 1e-6
    assert np.abs(found - 0.4).max() < 0.15


def test_caution_keeps_near_evaluations():
    points, numbers, losses = made_up(12, 8)
    slope = points @ np.full(8, 0.05)
    surrogate = Surrogate(points, numbers, slope + losses * 0.01)
    distances = [
        np.linalg.norm(points - surrogate.minimum(caution), axis=1).min() for caution in (0.0, 4.0)
    ]
    assert distances[1] < distances[0]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_promised_far_from_all_evaluations(seed):
    """Losses that fall from donor to donor do not fall on and on beyond them."""
    space = ShareGenomeSpace(arch_spec("lite-w0.1-d0.3"), 9, "network_share")
    generator, rng = random.Random(seed), np.random.default_rng(seed)
    points = np.array([space.shares(space.draw(generator)) for _ in range(96)])
    losses = points @ rng.uniform(-0.1, 0.1, 8) + rng.normal(0, 0.05, 96)
    chosen = Surrogate(points, np.arange(96) // 12, losses).minimum(caution=2.0)
    apart = np.sort(cdist(points, points), axis=1)[:, 1]
    assert np.linalg.norm(points - chosen, axis=1).min() < apart.max()


def test_samples_vary_as_believed():
    points, numbers, losses = made_up(30, 3)
    surrogate = Surrogate(points, numbers, losses)
    asked = np.random.default_rng(1).uniform(-0.5, 1.5, (5, 3))
    drawn = surrogate.samples(asked, 20_000, np.random.default_rng(2))
    mean, deviation = surrogate.believed(asked)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=4 * deviation.max() / 20_000**0.5)
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.03)


def test_the_number_of_threads_changes_nothing():
    points, numbers, losses = made_up(200, 8)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(Surrogate(points, numbers, losses).minimum(2.0).tobytes())
    assert found[0] == found[1]


def test_of_very_many_evaluations_those_around_the_best_count():
    points, numbers, losses = made_up(600, 2)
    far = np.linalg.norm(points - 0.4, axis=1) > 1.15
    assert far.sum() > 20
    wild = np.where(far, losses + 5 + 5 * np.sin(40 * points[:, 0]), losses)
    np.testing.assert_array_equal(
        Surrogate(points, numbers, wild).minimum(1.0),
        Surrogate(points, numbers, losses).minimum(1.0),
    )


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_evaluations_are_enough(count):
    points = np.array([[0.0, 1.0], [1.0, 0.0]])[:count]
    surrogate = Surrogate(points, np.zeros(count, int), np.full(count, 0.7))
    found = surrogate.minimum(2.0)
    assert np.isfinite(found).all() and surrogate.believed(found[None])[0] == pytest.approx(
        0.7, abs=1e-6
    )
