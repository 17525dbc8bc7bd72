"""The four ways to mix a soup: who is in it, and how much of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.arch import HEAD_LAYER, inventory
from efn_compose.compose.space import TOP, head_segment, segment_of, segments
from efn_compose.donors import Donor
from efn_compose.errors import ComposeError
from efn_compose.jobs.soup.judge import Judge
from efn_compose.jobs.soup.preparation import Ingredients
from efn_compose.soups import greedy_soup, model_stock, uniform_soup, weighted_soup

#: Passes over the training images that learn the shares of a learned soup.
LEARNED_EPOCHS = 2
#: The key of shares that hold for the whole network.
NETWORK = "network"

#: Called with one line about each network that was tried.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Mixture:
    """An average before its BatchNorm statistics are re-estimated.

    Args:
        donor: The average.
        members: Who is in it; the ancestor last where it has a share.
        shares: (member,) summing to 1, by segment, by layer, or "network" for all of it.
    """

    donor: Donor
    members: tuple[Donor, ...]
    shares: Mapping[str, Sequence[float]]

    @property
    def is_one_network(self) -> bool:
        """Whether all of it comes from one member."""
        return all(max(share) == 1 for share in self.shares.values()) and (
            len({int(np.argmax(share)) for share in self.shares.values()}) == 1
        )

    def overall(self) -> list[float]:
        """Return each member's share of all trainable parameters, summing to 1."""
        total = np.zeros(len(self.members))
        for tensor in inventory(self.donor.spec, self.donor.classes):
            if tensor.is_trainable:
                segment = TOP if tensor.layer == HEAD_LAYER else segment_of(tensor)
                places = (tensor.layer, segment, head_segment(self.donor.spec), NETWORK)
                share = next(self.shares[place] for place in places if place in self.shares)
                total += tensor.size * np.asarray(share)
        return [float(value) for value in total / total.sum()]


def uniform(ingredients: Ingredients, judge: Judge | None, say: Say) -> Mixture:
    """Average all networks with equal shares."""
    donors = ingredients.donors
    return Mixture(uniform_soup(donors), donors, {NETWORK: [1 / len(donors)] * len(donors)})


def greedy(ingredients: Ingredients, judge: Judge | None, say: Say) -> Mixture:
    """Let networks join from best to worst while the validation loss does not rise."""
    judge = _required(judge)
    donors = ingredients.donors
    alone = {donor.fingerprint for donor in donors}

    def score(donor: Donor) -> float:
        if donor.fingerprint in alone:
            loss = judge.better_of_both(donor)[0].loss
            say(f"{donor.name} alone: validation loss {loss:.4f}")
        else:
            loss = judge.re_estimated(donor)[1].loss
            say(f"one more in the soup: validation loss {loss:.4f}")
        return -loss

    found = greedy_soup(donors, score)
    shares = [0.0] * len(donors)
    for member in found.members:
        shares[member] = 1 / len(found.members)
    return Mixture(found.donor, donors, {NETWORK: shares})


def learned(ingredients: Ingredients, judge: Judge | None, say: Say) -> Mixture:
    """Learn every network's share of every segment on training images."""
    from efn_compose.soups.learned import SoupLearner

    judge = _required(judge)
    donors, worker = ingredients.donors, judge.worker
    network, seed = worker.network, ingredients.seed
    # Classifiers of other classes teach nothing about these: one is learned along.
    taught = donors if judge.uses_own_classifier else [donor.without_head() for donor in donors]
    # Dropout begins as in any training of this seed; weights are overwritten.
    network.load(taught[0].tensors, seed)
    learner = SoupLearner(
        network.model,
        donors[0].spec,
        donors[0].conventions,
        judge.data.classes,
        [donor.tensors for donor in taught],
    )
    order = network.epoch_order(len(judge.data.train_labels), seed, LEARNED_EPOCHS)
    # All at once, since every step of the learner draws from all of them.
    images = judge.data.train_images[:]
    found = learner.learn(images, worker.train_labels, order, seed=seed)
    say(f"shares learned in {len(order)} steps: training loss {found.losses[-1]:.4f}")
    # Rows sum to 1 but for rounding, which `weighted_soup` would not mind and a file should not show.
    rows = found.weights / found.weights.sum(axis=1, keepdims=True)
    shares = dict(zip(segments(donors[0].spec), rows.tolist(), strict=True))
    return Mixture(weighted_soup(donors, shares), donors, shares)


def stock(ingredients: Ingredients, judge: Judge | None, say: Say) -> Mixture:
    """Draw the average towards the common ancestor, as far as the angles say."""
    donors, ancestor = ingredients.donors, ingredients.ancestor
    if ancestor is None:
        raise ComposeError("Model Stock needs the common ancestor of all networks.")
    found = model_stock(ancestor, donors)
    shares = {
        layer: [ratio / len(donors)] * len(donors) + [1 - ratio]
        for layer, ratio in found.ratios.items()
    }
    return Mixture(found.donor, (*donors, ancestor), shares)


MIX: dict[str, Callable[[Ingredients, Judge | None, Say], Mixture]] = {
    "uniform": uniform,
    "greedy": greedy,
    "learned": learned,
    "stock": stock,
}


def _required(judge: Judge | None) -> Judge:
    if judge is None:
        raise ComposeError("This method needs images that judge or teach.")
    return judge
