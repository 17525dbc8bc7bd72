"""Everything of a search for a policy checked and loaded before anything is written."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from efn_compose.config import dump_toml, load_config
from efn_compose.data.folding.grouped import assign_groups
from efn_compose.donors import Donor
from efn_compose.donors.seen_images import known_part
from efn_compose.errors import ConfigError, describe_problems
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.jobs.policies.options import PolicyConfig
from efn_compose.jobs.policies.space import PolicySpace
from efn_compose.jobs.policies.worker import FreshTraining, PolicySetup
from efn_compose.jobs.predictions.networks import Network, find_networks
from efn_compose.jobs.stored_run import StoredConfig
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.jobs.trainings.preparation import PreparedTrainings, prepare_trainings
from efn_compose.jobs.trainings.unfinished import STATES_FOLDER
from efn_compose.store.run_folder import CONFIG_FILE, stored_identity

STORED = StoredConfig(PolicyConfig, free=("run", "executor"))
#: Held-out images of a fold, at least: half of them find, the others judge; whole patients.
LEAST_IMAGES = 8


@dataclass(frozen=True)
class PreparedPolicy:
    """A search that can begin.

    Args:
        config: All settings.
        networks: Trained ones of one run; each knows the fold that its training left out.
        trainings: Of that run: images, folds, first weights and recipe.
        folder: The run folder.
    """

    config: PolicyConfig
    networks: Sequence[Network]
    trainings: PreparedTrainings
    folder: Path

    @property
    def data(self) -> FoldedImages:
        """All images and their folds."""
        return self.trainings.images.folded

    @property
    def space(self) -> PolicySpace:
        """All policies."""
        return PolicySpace(self.config.policy.sub_policies)

    @property
    def folds(self) -> list[int]:
        """Folds that a network has left out."""
        return sorted({network.fold or 0 for network in self.networks})

    @cached_property
    def halves(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """By fold, the numbers of the images that find a policy, and of those that judge it.

        No patient is in both, where patients are known.
        """
        found = {}
        patients = self.trainings.images.table.groups
        most = self.config.policy.images
        for place, fold in enumerate(self.folds):
            held_out = np.flatnonzero(self.data.fold == fold)
            rng = np.random.default_rng([self.config.run.seed, fold])
            order = rng.permutation(held_out)
            finding, judging = np.split(order, [len(order) // 2])
            if patients is not None:
                shares = np.array([0.5, 0.5])
                half = assign_groups(self.data.labels[order], patients[order], shares, rng)
                finding, judging = order[half == 0], order[half == 1]
            room = len(finding) if not most else max(1, (most + place) // len(self.folds))
            found[fold] = np.sort(finding[:room]), np.sort(judging)
        return found

    @property
    def donor(self) -> Donor:
        """What fresh trainings start from: as the first network's training did."""
        return self.trainings.donors[self.networks[0].variant]

    @property
    def setup(self) -> PolicySetup:
        """What workers are made of."""
        run, epochs = self.trainings.config, self.config.policy.epochs
        # Resumed trainings end at the same bits.
        train = dataclasses.replace(run.train, deterministic=True)
        train = dataclasses.replace(train, epochs=epochs) if epochs else train
        return PolicySetup(
            entries=tuple(str(Path(entry).resolve()) for entry in self.config.policy.networks),
            finding={fold: halves[0] for fold, halves in self.halves.items()},
            judging={fold: halves[1] for fold, halves in self.halves.items()},
            donor=self.donor,
            train=train,
            augment=run.augment,
            seed=self.config.run.seed,
            folder=str((self.folder / STATES_FOLDER).resolve()),
        )

    def fresh_trainings(self, policy: str) -> list[FreshTraining]:
        """Return the trainings of the verdict, those of one seed side by side.

        Args:
            policy: What was found, written out.
        """
        found = []
        for number in range(self.config.policy.seeds):
            seed = derive_seed(self.config.run.seed, "policy", number)
            fold = self.folds[number % len(self.folds)]
            found += [
                FreshTraining(arm, auto, fold, seed)
                for arm, auto in (("found", policy), ("trivial", "trivial"))
            ]
        return found

    @property
    def identity(self) -> dict[str, str]:
        """Hashes of all that decides the results."""
        digest = hashlib.sha256()
        for network in self.networks:
            donor, head = network.load()
            digest.update(donor.fingerprint.encode())
            for name in sorted(head):
                digest.update(np.ascontiguousarray(head[name]).data)
        return {
            "config": STORED.hash(dump_toml(self.config)),
            "seed": str(self.config.run.seed),
            "networks": digest.hexdigest(),
            **{name: self.trainings.identity[name] for name in ("donors", "data")},
        }

    @property
    def notes(self) -> list[str]:
        """What a reader of the result should know."""
        found = list(self.trainings.images.warnings())
        if self.trainings.config.semi.method != "none":
            found.append("fresh trainings do without the run's unlabelled images")
        used = self.trainings.config.augment
        if used.auto != "none" or used.randaugment_ops:
            found.append(
                "the networks were trained under a policy, so that they favour what it does; those "
                "of a training without one are better judges"
            )
        return found


def prepare_policy(
    config_path: str | os.PathLike[str] | None,
    overrides: Sequence[str] = (),
    *,
    show_progress: bool = True,
    resume: bool | None = None,
) -> PreparedPolicy:
    """Load and check configuration, networks, images and first weights; writes nothing.

    Args:
        config_path: A TOML file; None takes the defaults, which `overrides` complete.
        overrides: "section.key=value" each, as with `--set`.
        show_progress: Draw the progress of reading images.
        resume: Whether the run folder has a run to go on with, or else none; None does not look.

    Raises:
        EfnComposeError: Anything that would stop the search later.
    """
    config = load_config(config_path, overrides, PolicyConfig)
    folder = config.run.folder(config_path, "policy")
    STORED.check_place(folder, config, resume)
    if not config.policy.networks:
        raise ConfigError(
            "policy.networks is empty. Name the run folder of trainings whose networks are to score "
            "policies: `efn-compose train --folds 3 --set augment.flip_x=0 …` makes one."
        )
    networks = find_networks(config.policy.networks)
    run = _only_run(networks)
    trainings = prepare_trainings(run / CONFIG_FILE, show_progress=show_progress)
    prepared = PreparedPolicy(config, networks, trainings, folder)
    problems = [*_trained_on(prepared, run), *_too_few(prepared)]
    if problems:
        raise ConfigError(describe_problems("These networks cannot judge policies.", problems))
    return prepared


def _only_run(networks: Sequence[Network]) -> Path:
    """Return the run of all networks.

    Raises:
        ConfigError: A network is of no run, or they are of several; all are listed.
    """
    problems = [
        f"- {network.name}: a file of no run of trainings; nobody wrote down which images it was "
        "trained on, and it may not judge these"
        for network in networks
        if network.run is None
    ]
    runs = {network.run.resolve(): network.run for network in networks if network.run}
    if len(runs) > 1:
        problems.append(
            f"- they are of {len(runs)} runs ({', '.join(map(str, runs.values()))}); a network may "
            "have been trained on images that another one leaves out"
        )
    if problems:
        raise ConfigError(
            describe_problems(
                "These networks cannot judge policies.",
                problems,
                "Name one run folder of `efn-compose train`; its networks judge the images that "
                "each was not trained on.",
            )
        )
    return next(iter(runs.values()))


def _trained_on(prepared: PreparedPolicy, run: Path) -> list[str]:
    """Return a line per reason why a network was trained on images that it should judge."""
    problems = []
    if stored_identity(run).get("data") != prepared.data.fingerprint:
        names = ", ".join(network.name for network in prepared.networks)
        problems.append(
            f"- {names}: images or folds of {prepared.trainings.images.table.name} are not those of "
            "the run any more, so that they may have been trained on the images that they should "
            "judge. Train anew"
        )
    folded = prepared.trainings.images.folded
    known = known_part(prepared.donor, folded.marks)
    if known:
        names = ", ".join(network.name for network in prepared.networks)
        problems.append(
            f"- {names}: their first weights, {prepared.trainings.config.weights.file}, have learnt from "
            f"labels of {known} of these images, and so of images that they should "
            "judge. Train anew from weights that have not seen them"
        )
    return problems


def _too_few(prepared: PreparedPolicy) -> list[str]:
    return [
        f"- fold {fold}: {len(finding)} images find a policy and {len(judging)} judge it; "
        f"{LEAST_IMAGES // 2} of either are needed, and no patient is in both"
        for fold, (finding, judging) in prepared.halves.items()
        if len(judging) < LEAST_IMAGES // 2 or not len(finding)
    ]
