"""`soup`: average the weights of several fine-tunings, and say whether that was worth it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from efn_compose.data import DataOptions, DataSet
from efn_compose.donors import Donor
from efn_compose.donors.licences import resulting_licence
from efn_compose.donors.lineage import ALIGNED_KEY, LINEAGE_KEY
from efn_compose.donors.seen_images import SeenImages, seen_by, with_seen
from efn_compose.donors.trained_for import TRAINED_KEY
from efn_compose.jobs.soup.judge import Answers, Judge
from efn_compose.jobs.soup.methods import MIX, Mixture, Say
from efn_compose.jobs.soup.preparation import NEED_DATA, SOUP, Ingredients, Method, prepare_soup
from efn_compose.jobs.soup.verdict import SoupVerdict, give_soup_verdict
from efn_compose.store import WeightHeader, write_weights


@dataclass(frozen=True)
class Score:
    """Scores of a network on the validation images.

    Args:
        loss: Mean cross-entropy at the best temperature, in nats.
        accuracy: Share of right answers, 0 to 1.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Soup:
    """A finished soup.

    Args:
        donor: The averaged network.
        method: How it was mixed.
        members: Names of the networks, the ancestor's last where it has a share.
        overall: Each member's share of all parameters, summing to 1.
        shares: The same (member,) by segment or layer, or "network" for all of it.
        batch_norm: The treatment of the BatchNorm statistics.
        classifier: Whose classifier judged: "own", "ridge", or "none" without images.
        scores: Of each network alone and of "soup"; empty without images.
        verdict: The soup against the best network alone; None without images.
        recipe: All of this as the weight file stores it; JSON values.
    """

    donor: Donor
    method: Method
    members: tuple[str, ...]
    overall: tuple[float, ...]
    shares: Mapping[str, Sequence[float]]
    batch_norm: str
    classifier: str = "none"
    scores: Mapping[str, Score] = field(default_factory=dict)
    verdict: SoupVerdict | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the soup as a weight file, with its recipe and where its weights come from."""
        donor = self.donor
        header = WeightHeader(
            donor.spec, donor.conventions, donor.classes, donor.provenance, self.recipe
        )
        write_weights(path, header, donor.tensors)


def soup(
    donors: Sequence[str | os.PathLike[str] | Donor],
    *,
    output: str | os.PathLike[str] | None = None,
    method: Method = "uniform",
    data: DataOptions | DataSet | None = None,
    ancestor: str | os.PathLike[str] | Donor | None = None,
    seed: int = 0,
    say: Say | None = None,
) -> Soup:
    """Average the weights of several fine-tunings of one checkpoint.

    "uniform" averages all. "greedy" lets networks join from best to worst while the
    validation loss does not rise (both Wortsman et al. 2022, arXiv:2203.05482). "learned"
    learns shares per segment by gradient (the same paper, appendix I). "stock" draws the
    average towards the common ancestor (Jang et al. 2024, arXiv:2403.19522).

    Images are split into three parts. Training images re-estimate BatchNorm statistics,
    validation images choose, and test images give the verdict alone. Take images that no
    donor was trained on, or the scores flatter those that were.

    Args:
        donors: Two or more weight files, or donors, of one network and one lineage.
        output: Weight file to write; None writes nothing.
        method: "uniform", "greedy", "learned" or "stock".
        data: Labelled images. Without any, statistics are pooled and there is no verdict.
        ancestor: For "stock": the checkpoint that all donors were fine-tuned from; None looks
            for the source that their files name.
        seed: Decides the split of the images, and what is learned. Equal seeds give equal bits.
        say: Is told in one line what was just tried.

    Raises:
        ConfigError: A method or a file cannot be used; all are listed.
        IncompatibleDonorsError: The networks differ, or descend from several trainings.
        DataError: The images cannot be used.

    Example:
        >>> soup(["a.h5", "b.h5"], output="soup.h5").overall  # doctest: +SKIP
        (0.5, 0.5)
    """
    ingredients = prepare_soup(donors, method=method, data=data, ancestor=ancestor, seed=seed)
    if say is not None:
        for words in ingredients.notes:
            say(words)
    done = cook(ingredients, say)
    if output is not None:
        done.save(output)
    return done


def cook(ingredients: Ingredients, say: Say | None = None) -> Soup:
    """Mix, re-estimate and judge what `prepare_soup` loaded; writes nothing.

    Args:
        ingredients: Donors, ancestor and images.
        say: Is told in one line what was just tried.
    """
    say = say or (lambda line: None)
    data = ingredients.data
    judge = Judge(ingredients.donors, data) if data is not None else None
    mixture = MIX[ingredients.method](ingredients, judge, say)
    donor, batch_norm = mixture.donor, "pooled over the networks, not re-estimated"
    scores: dict[str, Score] = {}
    verdict = None
    if judge is not None and data is not None:
        batch_norm = f"re-estimated on {judge.statistics_images} training images"
        if mixture.is_one_network:
            # With the statistics that it competed with, or it could lose against itself.
            answers, is_own = judge.better_of_both(donor)
            donor = donor if is_own else judge.re_estimated(donor)[0]
            batch_norm = f"{'as they were' if is_own else batch_norm}: one network is all of it"
        else:
            donor, answers = judge.re_estimated(donor)
        alone = {d.name: judge.better_of_both(d)[0] for d in ingredients.donors}
        scores = {name: _score(found) for name, found in {**alone, SOUP: answers}.items()}
        verdict = give_soup_verdict(answers, alone, data.test_labels, data.test_groups)
    classifier = "none" if judge is None else "own" if judge.uses_own_classifier else "ridge"
    return Soup(
        donor.replace(name=SOUP, provenance=_provenance(ingredients, mixture)),
        ingredients.method,
        tuple(member.name for member in mixture.members),
        tuple(mixture.overall()),
        mixture.shares,
        batch_norm,
        classifier,
        scores,
        verdict,
        _recipe(ingredients, mixture, batch_norm, classifier, verdict),
    )


def _score(answers: Answers) -> Score:
    return Score(answers.loss, answers.accuracy)


def _provenance(ingredients: Ingredients, mixture: Mixture) -> dict[str, Any]:
    """Return where a soup's weights come from; lineage and basis go on where all agree."""
    members = mixture.members
    provenance: dict[str, Any] = {
        "made_by": "efn_compose.soup",
        "method": ingredients.method,
        "donors": [
            {
                "name": member.name,
                "fingerprint": member.fingerprint,
                "licence": member.provenance.get("licence", "unknown"),
                "source": member.provenance.get("source", "unknown"),
                "share": share,
            }
            for member, share in zip(members, mixture.overall(), strict=True)
        ],
        "licence": resulting_licence(member.provenance for member in members).name,
        "lineages": [[member.name for member in members]],
    }
    for key in ("source", "sha256", LINEAGE_KEY, ALIGNED_KEY, TRAINED_KEY):
        found = [donor.provenance.get(key) for donor in ingredients.donors]
        if found[0] is not None and all(value == found[0] for value in found):
            provenance[key] = found[0]
    seen = [one for member in members for one in seen_by(member.provenance)]
    if ingredients.method in NEED_DATA and ingredients.data is not None:
        seen.append(SeenImages.of(ingredients.data.choosing))
    return with_seen(provenance, seen)


def _recipe(
    ingredients: Ingredients,
    mixture: Mixture,
    batch_norm: str,
    classifier: str,
    verdict: SoupVerdict | None,
) -> dict[str, Any]:
    """Return how a soup was made; JSON values."""
    recipe: dict[str, Any] = {
        "kind": "soup",
        "method": ingredients.method,
        "members": [member.name for member in mixture.members],
        "shares": {place: list(share) for place, share in mixture.shares.items()},
        "batch_norm": batch_norm,
        "seed": ingredients.seed,
    }
    if ingredients.data is not None and verdict is not None:
        data = ingredients.data
        recipe["data"] = {"name": data.name, "size": data.size, "fingerprint": data.fingerprint}
        recipe["judged_by"] = f"{classifier} classifier"
        recipe["verdict"] = verdict.to_json()
    return recipe
