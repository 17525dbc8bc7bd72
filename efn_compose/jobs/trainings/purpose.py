"""Whether a run's settings, weights and images fit its purpose; found out before anything is written."""

import numpy as np

from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.donors.unet import chosen_decoder
from efn_compose.errors import ConfigError
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.train.tiles import check_sizes

#: Views of test-time augmentation whose masks can be laid back on their image.
_UNDONE = ("none", "flip", "flips", "dihedral")


def check_settings(config: TrainConfig, classes: int) -> None:
    """Raise `ConfigError` where a recipe suits no weights and no images of so many classes.

    Nothing is made on a device: how many threads TensorFlow has may be decided later.

    Args:
        config: Of the run; its weights need not be there yet.
        classes: That labels tell apart; of masks they are not looked at.
    """
    from efn_compose.train.objectives.losses import class_weights
    from efn_compose.train.recipe.optimizers.table import optimizer_class
    from efn_compose.train.semi.mean_teacher import teacher_options

    optimizer_class(config.train)
    check_sizes(config.train, config.augment, config.data.size)
    if config.objective.kind == "segment":
        _check_mask_settings(config)
        return
    class_weights(config.train, np.eye(classes))
    if config.semi.method == "mean-teacher":
        teacher_options(config.train)


def check_purpose(config: TrainConfig, source: Donor, images: FoldedImages) -> None:
    """Raise an error where each training would.

    Raises:
        ConfigError: Settings that the objective cannot use.
        FurtherPartError: A decoder of another kind than is asked for.
        DataError: Labels or masks that cannot be learnt.
    """
    from efn_compose.train.objectives.classification import Classification, require_every_class
    from efn_compose.train.recipe.optimizers.table import make_optimizer
    from efn_compose.train.recipe.start import starting_network

    check_settings(config, len(images.class_names))
    make_optimizer(config.train, config.train.learning_rate)
    starting_network(source, config.train)
    if config.train.advprop:
        refuse_group_norm(source.name, source.spec, "advprop")
    if config.objective.kind == "segment":
        _check_masks(config, source, images)
        return
    Classification(len(images.class_names), config.train)
    if "auc" in (config.data.metric, config.train.monitor):
        # Of every fold now: a worker would find out when it comes to that fold.
        for fold in range(config.validation.folds):
            require_every_class(
                f"fold {fold}", images.labels[images.fold == fold], images.class_names
            )


def _check_mask_settings(config: TrainConfig) -> None:
    if config.data.metric != "accuracy":
        raise ConfigError(
            f"data.metric = {config.data.metric!r} is a score of classes, and objective.kind = 'segment' "
            "learns masks. Leave data.metric out; train.monitor chooses among the scores of masks."
        )
    if config.semi.method != "none":
        raise ConfigError(
            f"semi.method = {config.semi.method!r} learns from images without labels, and "
            "objective.kind = 'segment' from masks. Set semi.method to 'none'."
        )
    if config.tta.views not in _UNDONE or config.tta.merge == "rank":
        raise ConfigError(
            f"tta.views = {config.tta.views!r}, tta.merge = {config.tta.merge!r}: masks need views that "
            f"can be laid back on their image ({', '.join(_UNDONE)}), merged by 'mean' or 'median'."
        )


def _check_masks(config: TrainConfig, source: Donor, images: FoldedImages) -> None:
    from efn_compose.train.objectives.segmentation import Segmentation

    classes = len(images.mask_names)
    chosen_decoder(source, config.objective.decoder, classes)
    objective = Segmentation(classes, config.train, config.objective)
    objective.check(images.part(0)[0])
