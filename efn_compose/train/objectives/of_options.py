"""The objective of classes that the options of a training ask for."""

from efn_compose.train.objectives.adversarial import AdversarialClassification
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.options import TrainOptions


def classification(classes: int, options: TrainOptions, metric: str = "accuracy") -> Classification:
    """Return the objective of classes, adversarial where the options say so.

    Args:
        classes: Width of the classifier.
        options: Of the training.
        metric: "auc" adds the area under the curve to the scores.

    Example:
        >>> type(classification(10, TrainOptions(advprop=1.0))).__name__
        'AdversarialClassification'
    """
    kind = AdversarialClassification if options.advprop else Classification
    return kind(classes, options, metric)
