"""Kinds of second-level models: a name, its parameters with defaults, and how it is fitted.

Every model gets one thread. Trees with many threads on a busy machine are slower by a factor of fifty, and
results would depend on the machine.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

_TINY = 1e-6


class Fitted(Protocol):
    """A fitted model."""

    def __call__(self, x: np.ndarray, /) -> np.ndarray:
        """Return probabilities (row, class) of inputs (row, feature)."""


#: Fits (row, feature) inputs and (row,) class numbers with parameters and a seed. A kind that knows
#: categories finds their codes in the last columns, 0 for one that no fitted row has; the parameter
#: "codes" says how many codes each of these columns has.
Fit = Callable[[np.ndarray, np.ndarray, Mapping[str, Any], int], Fitted]


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Args:
        fit: Fits one.
        parameters: Names with defaults; others are refused.
        package: What it needs beside scikit-learn and TensorFlow.
        knows_categories: Whether it takes the table's categories as such; other kinds see a feature
            for each category.
    """

    fit: Fit
    parameters: Mapping[str, Any] = field(default_factory=dict)
    package: str = ""
    knows_categories: bool = False

    @property
    def extra(self) -> str:
        """The extra of efn_compose that installs its package."""
        return "catboost" if self.package == "catboost" else "stacking"

    @property
    def is_there(self) -> bool:
        """Whether its package is installed."""
        return not self.package or importlib.util.find_spec(self.package) is not None


def _of(model: Any, x: np.ndarray, y: np.ndarray) -> Fitted:
    model.fit(x, y)

    def predict(new: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_proba(new))

    return predict


def _logistic(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from sklearn.linear_model import LogisticRegression

    return _of(LogisticRegression(C=p["strength"], max_iter=500, random_state=seed), x, y)


def _logistic_cv(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from sklearn.linear_model import LogisticRegressionCV

    model = LogisticRegressionCV(
        Cs=p["strengths"],
        cv=p["folds"],
        scoring="neg_log_loss",
        max_iter=500,
        random_state=seed,
        use_legacy_attributes=False,
        l1_ratios=(0.0,),
    )
    return _of(model, x, y)


def _ridge(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=p["strength"]).fit(x, np.eye(int(y.max()) + 1)[y])

    def predict(new: np.ndarray) -> np.ndarray:
        found = np.clip(model.predict(new), _TINY, 1)
        return found / found.sum(axis=1, keepdims=True)

    return predict


def _extra_trees(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(
        p["trees"], min_samples_leaf=p["leaf"], random_state=seed, n_jobs=1
    )
    return _of(model, x, y)


def _neighbours(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from sklearn.neighbors import KNeighborsClassifier

    count = min(p["count"], len(x))
    return _of(KNeighborsClassifier(count, weights="distance", n_jobs=1), x, y)


def _dense(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        (p["units"],), alpha=p["decay"], max_iter=p["epochs"], random_state=seed, tol=0.0,
        n_iter_no_change=p["epochs"], learning_rate_init=0.01, batch_size=min(32, len(x)),
    )  # fmt: skip
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # It is asked for so many epochs, and not to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _of(model, x, y)


def _lightgbm(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    import lightgbm

    classes = int(y.max()) + 1
    parameters = {
        "objective": "binary" if classes == 2 else "multiclass",
        "num_leaves": p["leaves"],
        "learning_rate": p["rate"],
        "feature_fraction": p["features"],
        "min_data_in_leaf": p["leaf"],
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if classes > 2:
        parameters["num_class"] = classes
    model = lightgbm.train(parameters, lightgbm.Dataset(x, y), p["rounds"])

    def predict(new: np.ndarray) -> np.ndarray:
        found = np.asarray(model.predict(new, num_threads=1))
        return np.stack([1 - found, found], axis=1) if classes == 2 else found

    return predict


def _xgboost_forest(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    import xgboost

    model = xgboost.XGBRFClassifier(
        n_estimators=p["trees"], max_depth=p["depth"], random_state=seed, n_jobs=1,
        subsample=0.8, colsample_bynode=0.5, tree_method="hist",
    )  # fmt: skip
    return _of(model, x, y)


def _catboost(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    import catboost

    numbers = x.shape[1] - len(p["codes"])

    def typed(new: np.ndarray) -> np.ndarray:
        # CatBoost takes whole numbers for categories, and no fractions.
        found = new.astype(object)
        found[:, numbers:] = new[:, numbers:].astype(np.int64)
        return found

    model = catboost.CatBoostClassifier(
        iterations=p["rounds"], depth=p["depth"], learning_rate=p["rate"], random_seed=seed,
        thread_count=1, verbose=False, allow_writing_files=False,
        cat_features=list(range(numbers, x.shape[1])),
    )  # fmt: skip
    model.fit(typed(x), y)

    def predict(new: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_proba(typed(new), thread_count=1))

    return predict


def _keras(x: np.ndarray, y: np.ndarray, p: Mapping[str, Any], seed: int) -> Fitted:
    from efn_compose.train.tabular import TabularShape, tabular_network

    numbers = x.shape[1] - len(p["codes"])
    shape = TabularShape(
        numbers, tuple(p["codes"]), int(y.max()) + 1, p["units"], p["dropout"], p["decay"]
    )
    network = tabular_network(shape)
    network.fit(x[:, :numbers], x[:, numbers:], y, p["epochs"], p["rate"], seed)

    def predict(new: np.ndarray) -> np.ndarray:
        return network(new[:, :numbers], new[:, numbers:])

    return predict


_NETWORK = {"units": 32, "dropout": 0.5, "decay": 1e-3, "epochs": 30, "rate": 0.01}


KINDS: dict[str, Kind] = {
    "logistic": Kind(_logistic, {"strength": 1.0}),
    "logistic_cv": Kind(_logistic_cv, {"strengths": 10, "folds": 3}),
    "ridge": Kind(_ridge, {"strength": 10.0}),
    "extra_trees": Kind(_extra_trees, {"trees": 200, "leaf": 5}),
    "neighbours": Kind(_neighbours, {"count": 50}),
    "dense": Kind(_dense, {"units": 32, "decay": 1.0, "epochs": 50}),
    "lightgbm": Kind(
        _lightgbm,
        {"leaves": 7, "rate": 0.03, "rounds": 100, "features": 0.7, "leaf": 20},
        "lightgbm",
    ),
    "xgboost_forest": Kind(_xgboost_forest, {"trees": 100, "depth": 5}, "xgboost"),
    "catboost": Kind(_catboost, {"rounds": 100, "depth": 4, "rate": 0.05}, "catboost", True),
    "fully_connected": Kind(_keras, _NETWORK),
    "embeddings": Kind(_keras, _NETWORK, knows_categories=True),
}
