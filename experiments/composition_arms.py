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
        images, labels = bench.evaluator.images["train"], bench.evaluator.train_labels
        found = learner.learn(images, labels, order, seed=seed)
        space = genome_space(bench.donors[0].spec, len(states), "block")
        soup = dict(Recipe.by_segment(found.weights).compose(space, states))
        means = found.weights.mean(axis=0).round(3).tolist()
        return Made(soup, bench.budget + 1, {"mean weights": means})

    return arm


class FreeStep:
    """Steps of Keras' `ScheduleFreeAdamW` on a resident network (Defazio et al. 2024, arXiv:2405.15682)."""

    def __init__(self, network: ResidentModel) -> None:
        import keras

        self.network = weakref.proxy(network)
        self.trained = network.model.trainable_variables
        self.optimizer = keras.optimizers.ScheduleFreeAdamW()
        self.optimizer.build(self.trained)
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        signature = images, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None), tf.int32)
        self.train = tf.function(self._steps, input_signature=signature)

    def begin(self, rate: float) -> None:
        """Forget all steps; the average begins at the network's present weights."""
        self.optimizer.learning_rate = rate
        self.optimizer.iterations.assign(0)
        for variable, fast, squares in self._slots():
            fast.assign(variable)
            squares.assign(np.zeros(squares.shape, np.float32))

    def average(self) -> dict[str, np.ndarray]:
        """Return the network's tensors at the average, classifier included."""
        found, share = self.network.tensors(with_head=True), self.optimizer.beta_1
        names = self.network._trained_names
        for name, (variable, fast, _) in zip(names, self._slots(), strict=True):
            met = variable.numpy() - (1 - share) * fast.numpy()
            found[name] = (met / share).astype(np.float32)
        return found

    def _slots(self) -> Any:
        return zip(self.trained, self.optimizer._momentums, self.optimizer._velocities, strict=True)

    def _steps(self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor) -> None:
        network = self.network
        for number in tf.range(tf.shape(order)[0]):
            target = tf.one_hot(tf.gather(labels, order[number]), network.classes)
            with tf.GradientTape() as tape:
                logits = network.model(network._input(images, order[number]), training=True)
                losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, [variable.value for variable in self.trained])
            self.optimizer.apply(gradients, self.trained)


def schedule_free(manner: Manner) -> Arm:
    """Return the arm of one line whose optimizer averages by itself."""

    def arm(trainings: Trainings) -> Made:
        bench, network = trainings.bench, trainings.network
        if network not in _steps:
            _steps[network] = FreeStep(network)
        step = _steps[network]
        network.load(trainings.start(manner.head), bench.draw("plain"))
        network._momentum.assign(TRAINING_MOMENTUM)
        step.begin(bench.rate)
        for epoch in range(bench.budget):
            order = network.epoch_order(len(bench.data.train_labels), bench.draw("plain", epoch))
            step.train(bench.evaluator.images["train"], bench.evaluator.train_labels, order)
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
    "line, ScheduleFreeAdamW": schedule_free(_LINE),
    "plain, falling": plain(_FALLING),
    "plain, random head": plain(_RANDOM),
    "plain, union of augmentations": plain(replace(_LINE, augmented="union")),
    "branches, fresh": branched(replace(_LINE, kept=False)),
    "branches, fresh, random head": branched(replace(_RANDOM, kept=False)),
    "branches, kept": branched(_LINE),
    "branches, kept, falling": branched(_FALLING),
    "branches, kept, falling, outer step": branched(replace(_FALLING, outer=(0.7, 0.6))),
    "branches, kept, falling, growing interval": branched(
        replace(_FALLING, intervals=(1, 1, 2, 4))
    ),
    "branches, kept, falling, own augmentations": branched(replace(_FALLING, augmented="own")),
}
#: Arms that read the mean of every epoch's updates.
WATCHING = ("line, updates averaged",)
