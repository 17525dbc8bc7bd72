"""The arms of experiments/composition.py: what is made of lines and branches.

What is not composition is offered to the plain line, too: head start, falling rate, augmentation.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from composition_trainings import COUNT, Manner, Trainings, mean
from scoreboard_bench import Tensors

from efn_compose.compose import Recipe, genome_space
from efn_compose.soups.learned import SoupLearner
from efn_compose.soups.stock import model_stock
from efn_compose.train.resident.resident import TRAINING_MOMENTUM, ResidentModel

#: Depths of averages among which validation chooses.
DEPTHS = (1, 2, 4, 8, 16)
#: Pull of learned weights towards even ones: the gradient of half so much times a squared number.
EVENNESS = 0.01


@dataclass(frozen=True)
class Made:
    """The weights of an arm.

    Args:
        tensors: Classifier included.
        sequential: Epochs one after the other, where there are as many workers as branches.
        note: Anything worth keeping.
    """

    tensors: Tensors
    sequential: float
    note: Any = None


Arm = Callable[[Trainings], Made]


def best_average(trainings: Trainings, states: Sequence[Tensors], sequential: float) -> Made:
    """Return the average over the last 1, 2, 4 … states that validates best."""
    averages = {n: mean(states[-n:]) for n in DEPTHS if n <= len(states)}
    losses = {n: trainings.bench.validation_loss(a) for n, a in averages.items()}
    chosen = min(losses, key=losses.__getitem__)
    return Made(averages[chosen], sequential, {"states": chosen})


def plain(manner: Manner) -> Arm:
    """Return the arm of one line whose last epochs are averaged."""
    return lambda t: best_average(t, t.line(manner).states, t.bench.budget)


def watched(manner: Manner) -> Arm:
    """Return the arm of one line whose last epochs are averaged over every update of theirs."""
    return lambda t: best_average(t, t.line(manner).means, t.bench.budget)


def branched(manner: Manner) -> Arm:
    """Return the arm of four branches."""
    return lambda t: best_average(t, t.branches(manner), t.bench.budget / COUNT)


def stock(manner: Manner) -> Arm:
    """Return the arm that weighs the last states of a line against its start by Model Stock."""

    def arm(trainings: Trainings) -> Made:
        bench = trainings.bench
        like = bench.best_donor
        start = like.replace(name="start", tensors=trainings.start(manner.head))
        states = [
            like.replace(name=f"state{n}", tensors=tensors)
            for n, tensors in enumerate(trainings.line(manner).states[-8:])
        ]
        found = model_stock(start, states)
        ratios = list(found.ratios.values())
        return Made(found.donor.tensors, bench.budget, {"mean ratio": float(np.mean(ratios))})

    return arm


class EvenLearner(SoupLearner):
    """Learns weights of states that are drawn towards even ones."""

    evenness = 0.0

    def logit_gradient(self, logits: np.ndarray, gradients: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the loss' gradient with respect to the numbers behind the weights, the pull added."""
        return super().logit_gradient(logits, gradients) + self.evenness * logits


#: By network: learners and steps are traced once.
_learners: weakref.WeakKeyDictionary[ResidentModel, EvenLearner] = weakref.WeakKeyDictionary()
_steps: weakref.WeakKeyDictionary[ResidentModel, "FreeStep"] = weakref.WeakKeyDictionary()


def weighed(manner: Manner, evenness: float) -> Arm:
    """Return the arm whose weights of a line's states are learned, segment by segment, in an epoch."""

    def arm(trainings: Trainings) -> Made:
        bench, network = trainings.bench, trainings.network
        states: Sequence[Tensors] = trainings.line(manner).states[-8::2]
        seed = bench.draw("soup")
        network.load(states[-1], seed)  # dropout begins as in any training of this seed
        if network not in _learners:
            given = bench.donors[0]
            _learners[network] = EvenLearner(
                network.model, given.spec, given.conventions, bench.data.classes, states
            )
        learner = _learners[network]
        learner.donors, learner.evenness = states, evenness
        order = network.epoch_order(len(bench.data.train_labels), seed)
        labels = bench.evaluator.train_labels
        found = learner.learn(trainings.images, labels, order, seed=seed)
        space = genome_space(bench.donors[0].spec, len(states), "block")
        soup = dict(Recipe.by_segment(found.weights).compose(space, states))
        means = found.weights.mean(axis=0).round(3).tolist()
        return Made(soup, bench.budget + 1, {"mean weights": means})

    return arm


class FreeStep:
    """Steps of schedule-free AdamW on a resident network (Defazio et al. 2024, arXiv:2405.15682).

    Gradients are taken between a fast sequence and its running average, which is what is written.
    Keras 3.15's `ScheduleFreeAdamW` is not used: on TensorFlow it reads the fast sequence after it has
    moved it, and is off the paper's path from the second step on.
    """

    def __init__(self, network: ResidentModel) -> None:
        self.network = weakref.proxy(network)
        self.trained = network._trainable
        names = {id(variable): name for name, variable in network._variables.items()}
        self.names = [names[id(variable)] for variable in network.model.trainable_variables]
        self.fast = [tf.Variable(variable) for variable in self.trained]
        self.squares = [tf.Variable(tf.zeros_like(variable)) for variable in self.trained]
        self.count = tf.Variable(0.0)
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        order, rate = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((), tf.float32)
        signature = images, tf.TensorSpec((None,), tf.int32), order, rate
        self.train = tf.function(self._steps, input_signature=signature)

    def begin(self) -> None:
        """Forget all steps; the average begins at the network's present weights."""
        self.count.assign(0.0)
        for variable, fast, squares in zip(self.trained, self.fast, self.squares, strict=True):
            fast.assign(variable)
            squares.assign(tf.zeros_like(squares))

    def average(self) -> dict[str, np.ndarray]:
        """Return the network's tensors at the average, classifier included."""
        found = self.network.tensors(with_head=True)
        for name, variable, fast in zip(self.names, self.trained, self.fast, strict=True):
            found[name] = _average(variable, fast).numpy()
        return found

    def _steps(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, rate: tf.Tensor
    ) -> None:
        network = self.network
        for number in tf.range(tf.shape(order)[0]):
            target = tf.one_hot(tf.gather(labels, order[number]), network.classes)
            with tf.GradientTape() as tape:
                logits = network.model(network._input(images, order[number]), training=True)
                losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
                loss = tf.reduce_mean(losses)
            self._apply(tape.gradient(loss, self.trained), rate)

    def _apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        count = tf.convert_to_tensor(self.count) + 1
        self.count.assign(count)
        correction = 1 - tf.pow(0.999, count)
        for variable, fast, squares, gradient in zip(
            self.trained, self.fast, self.squares, gradients, strict=True
        ):
            average = _average(variable, fast)
            second = squares + 0.001 * (gradient**2 - squares)
            moved = fast - rate * gradient / (tf.sqrt(second / correction) + 1e-8)
            average += (moved - average) / count
            squares.assign(second)
            fast.assign(moved)
            variable.assign(_BETWEEN * average + (1 - _BETWEEN) * moved)


#: Where gradients are taken: 0 at the fast sequence, 1 at its average.
_BETWEEN = 0.9


def _average(between: tf.Tensor, fast: tf.Tensor) -> tf.Tensor:
    """Return the average that a point between it and the fast sequence belongs to."""
    return (between - (1 - _BETWEEN) * fast) / _BETWEEN


def schedule_free(manner: Manner) -> Arm:
    """Return the arm of one line whose optimizer averages by itself."""

    def arm(trainings: Trainings) -> Made:
        bench, network = trainings.bench, trainings.network
        if network not in _steps:
            _steps[network] = FreeStep(network)
        step = _steps[network]
        network.load(trainings.start(manner.head), bench.draw("plain"))
        network._momentum.assign(TRAINING_MOMENTUM)
        step.begin()
        rate = tf.constant(bench.rate, tf.float32)
        for epoch in range(bench.budget):
            order = network.epoch_order(len(bench.data.train_labels), bench.draw("plain", epoch))
            labels = bench.evaluator.train_labels
            step.train(trainings.images, labels, tf.constant(order), rate)
        return Made(step.average(), bench.budget)

    return arm


#: One line at class means; what it writes is compared with branches that begin alike.
_LINE = Manner()
_FALLING = Manner(falling=True)
_RANDOM = Manner(head="random")

#: Arms of one line stand together: they share it.
ARMS: dict[str, Arm] = {
    "plain": plain(_LINE),
    "line, updates averaged": watched(_LINE),
    "line, Model Stock": stock(_LINE),
    "line, learned weights": weighed(_LINE, 0.0),
    "line, learned weights drawn to even": weighed(_LINE, EVENNESS),
    "line, schedule-free AdamW": schedule_free(_LINE),
    "plain, falling": plain(_FALLING),
    "plain, random head": plain(_RANDOM),
    "plain, union of augmentations": plain(replace(_LINE, augmented="union")),
    "branches, fresh": branched(replace(_LINE, kept=False)),
    "branches, fresh, own augmentations": branched(replace(_LINE, kept=False, augmented="own")),
    "branches, fresh, union of augmentations": branched(
        replace(_LINE, kept=False, augmented="union")
    ),
    "branches, fresh, random head": branched(replace(_RANDOM, kept=False)),
    "branches, kept": branched(_LINE),
    "branches, kept, falling": branched(_FALLING),
    "branches, kept, falling, outer step": branched(replace(_FALLING, outer=(0.7, 0.6))),
    "branches, kept, falling, growing interval": branched(
        replace(_FALLING, intervals=(1, 1, 2, 4))
    ),
    "branches, kept, falling, own augmentations": branched(replace(_FALLING, augmented="own")),
    "branches, averaged once": branched(replace(_LINE, intervals=(8,))),
    "branches, falling, averaged once": branched(replace(_FALLING, intervals=(8,))),
}
#: Arms that read the mean of every epoch's updates.
WATCHING = ("line, updates averaged",)
