"""One budget, many ways to spend it; see scoreboard.toml beside this file.

Every finished (setting, data set, seed, arm) is one line of results/scoreboard.jsonl, so that
an interrupted run goes on where it stopped.
"""

import argparse
import itertools
import json
import os
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measured import measured
from scoreboard_names import ABSORBED, BODY_ABSORBED
from traced import Traced

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "scoreboard.jsonl"
#: Measured while copies of one image filled the last batch of BatchNorm's re-estimation.
BEFORE = HERE / "results" / "scoreboard_copies.jsonl"
PAGE = HERE / "results" / "scoreboard.md"
#: What people write stands above, what the journal says below.
MARK = "<!-- Below this line: python experiments/scoreboard.py --report -->\n"


def pending(
    config: Mapping[str, Any], options: argparse.Namespace
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield seed, setting, data set and the arms that are still to be measured, seed by seed."""
    done = {(row["setting"], row["data"], row["seed"], row["arm"]) for row in measured(JOURNAL)}
    for seed in options.seeds or range(1, config["seeds"] + 1):
        for name, setting in config["settings"].items():
            for source in setting.get("data_sets", config["data_sets"]):
                arms = [arm for arm in setting["arms"] if not options.arms or arm in options.arms]
                done |= {(name, source, seed, arm) for arm in config["retired"]}
                left = [arm for arm in arms if (name, source, seed, arm) not in done]
                wanted = name in (options.settings or config["settings"])
                if left and wanted and source in (options.data or config["data_sets"]):
                    yield seed, name, source, left


def merged(config: Mapping[str, Any], setting: str) -> dict[str, Any]:
    """Return the experiment's options with those of one setting in their place."""
    own = config["settings"][setting]
    usual, special = config["searches"], own.get("searches", {})
    searches = {n: {**usual.get(n, {}), **special.get(n, {})} for n in (*usual, *special)}
    return {**config, **own, "searches": searches}


def run(config: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Measure everything that is not yet in the journal."""
    from scoreboard_arms import ARMS
    from scoreboard_bench import Bench
    from seeding import data_set

    from efn_compose.evolve.options import FitnessOptions
    from efn_compose.evolve.workers.evaluator import WorkerSetup
    from efn_compose.jobs.donor_entries import load_donors

    traced: dict[Any, Traced] = {}
    for seed, setting, source, arms in pending(config, options):
        own = merged(config, setting)
        donors = load_donors(own["donors"], own.get("variant", ""))
        fitness = FitnessOptions(**config["fitness"])
        setup = WorkerSetup(donors[0].spec, donors[0].conventions, fitness, **config["worker"])
        data = data_set(source, {**config, "split_seed": seed})
        worker = traced.setdefault(setup.spec, Traced(setup)).worker(data)
        bench = Bench(worker, data, donors, own, seed)
        for arm in arms:
            started = time.process_time()
            start = ARMS[arm](bench)
            row = {"setting": setting, "data": source, "seed": seed, "arm": arm}
            row |= {"epochs": start.epochs, "verdict_epochs": start.verdict_epochs}
            row |= {"note": start.note, **measure(bench, start.networks)}
            row["seconds"] = round(time.process_time() - started, 1)
            with JOURNAL.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def measure(bench: Any, networks: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """Return test scores as they are, after one epoch, and along a fine-tuning.

    The rate of the fine-tuning is chosen on validation, for every arm anew. An ensemble
    is scored as it is only.
    """
    from efn_compose.arch import HEAD_LAYER
    from efn_compose.assess.metrics import best_temperature, scores

    row: dict[str, Any] = {}
    first = networks[0]
    if f"{HEAD_LAYER}/kernel" in first:
        mean = np.mean([bench.probabilities(network) for network in networks], axis=0)
        logits, labels = np.log(mean + 1e-12), bench.data.test_labels
        heat = best_temperature(logits, labels)
        row["as_is"] = scores(logits, labels, "accuracy", temperature=heat)
    if len(networks) > 1:
        return row
    tuned = {rate: fine_tune(bench, first, rate) for rate in bench.config["fine_tune_rates"]}
    validation = {rate: bench.score(t[-1], "validation")["validation"] for rate, t in tuned.items()}
    rate = min(validation, key=lambda r: validation[r]["loss"])
    curve = [bench.score(tensors, "test")["test"] for tensors in tuned[rate]]
    return row | {"rate": rate, "validation": validation[rate], "test": curve}


def fine_tune(bench: Any, tensors: Mapping[str, np.ndarray], rate: float) -> list[Any]:
    """Return the weights after each epoch of a fine-tuning at one rate."""
    found = []
    for epoch in range(bench.config["fine_tune_epochs"]):
        tensors = bench.train(tensors, "fine-tuning", epoch, rate=rate)
        found.append(tensors)
    return found


def holm(chances: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979)."""
    order = np.argsort(chances)
    corrected, highest = np.empty(len(order)), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * chances[place]))
        corrected[place] = highest
    return corrected.tolist()


def paired(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean difference of pairs, half its 95 % interval, and the chance of a paired t."""
    from scipy import stats

    difference = np.subtract(first, second)
    count = len(difference)
    error = difference.std(ddof=1) / np.sqrt(count)
    if error == 0:
        return float(difference.mean()), 0.0, 1.0 if difference.mean() == 0 else 0.0
    chance = 2 * stats.t.sf(abs(difference.mean()) / error, count - 1)
    return float(difference.mean()), float(error * stats.t.ppf(0.975, count - 1)), float(chance)


def endpoint(row: Mapping[str, Any], name: str, metric: str) -> float | None:
    """Return one endpoint of a row; None where the arm has none."""
    if name == "as is":
        return row["as_is"][metric] if "as_is" in row else None
    if "test" not in row:
        return None
    return row["test"][0 if name == "one epoch" else -1][metric]


ENDPOINTS = ("as is", "one epoch", "fine-tuned")
#: The arm that others are compared with: what the product recommends. It is so once more from
#: donors whose statistics were absorbed.
OURS = "halving"
#: What composition without a search comes to from such donors.
SOUP = "uniform soup of siblings" + ABSORBED
#: Halving that spends the same on four workers, in a quarter of the time.
BRANCHES = "halving, four branches" + BODY_ABSORBED
#: What the last ones are compared with besides absorbed arms.
PLAIN = ("best donor", "trained for the whole budget", "trained, last epochs averaged", OURS)


def report(config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables in Markdown."""
    lines: list[str] = []
    for setting, own in config["settings"].items():
        shared = own.get("shared", {})
        ours = [
            row
            for row in rows
            if row["setting"] == setting or row["arm"] in shared.get(row["setting"], ())
        ]
        arms = [*itertools.chain.from_iterable(shared.values()), *own["arms"]]
        pooled = _all_comparisons(ours, arms)
        if pooled:
            lines += ["", f"## {setting}: all data sets together", "", *pooled]
        for source in own.get("data_sets", config["data_sets"]):
            mine = [row for row in ours if row["data"] == source]
            if mine:
                lines += ["", f"## {setting}: {source}", ""]
                lines += _scores(mine, arms, config)
    return "\n".join(lines) + "\n"


def _scores(rows: Sequence[Mapping[str, Any]], arms: Sequence[str], config: Any) -> list[str]:
    heads = [f"{name}: accuracy, NLL" for name in ENDPOINTS]
    lines = [
        f"| arm | seeds | epochs, + verdict | {' | '.join(heads)} | epochs to the donor's final accuracy "
        "| NLL, test minus validation |",
        "|---" * (5 + len(heads)) + "|",
    ]
    finals = [endpoint(r, "fine-tuned", "accuracy") for r in rows if r["arm"] == "best donor"]
    target = float(np.mean(finals)) if finals else None
    for arm in arms:
        ours = [row for row in rows if row["arm"] == arm]
        if not ours:
            continue
        cells = []
        for name in ENDPOINTS:
            pair = [[endpoint(r, name, metric) for r in ours] for metric in ("accuracy", "loss")]
            if None in pair[0]:
                cells.append("–")
                continue
            cells.append(f"{mean_and_error(pair[0], 100, 1)} %, {mean_and_error(pair[1], 1, 3)}")
        spent = f"{np.mean([r['epochs'] for r in ours]):.0f}"
        extra = np.mean([r["verdict_epochs"] for r in ours])
        spent += f" + {extra:.0f}" if extra else ""
        cells.append(_epochs_to(ours, target, config["fine_tune_epochs"]))
        gaps = [r["test"][-1]["loss"] - r["validation"]["loss"] for r in ours if "test" in r]
        cells.append(mean_and_error(gaps, 1, 3) if gaps else "–")
        lines.append(f"| {arm} | {len(ours)} | {spent} | {' | '.join(cells)} |")
    return lines


def mean_and_error(values: Sequence[float], factor: float, digits: int, sign: str = "") -> str:
    """Return a mean and, of several values, its standard error; "+" shows every sign."""
    values = np.multiply(values, factor)
    if len(values) < 2:
        return f"{values[0]:{sign}.{digits}f}"
    return (
        f"{values.mean():{sign}.{digits}f} ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"
    )


def _epochs_to(rows: Sequence[Mapping[str, Any]], target: float | None, most: int) -> str:
    """Return the mean number of epochs to a target accuracy; 0 where it is there at once."""
    if target is None or any("test" not in row for row in rows):
        return "–"
    needed = []
    for row in rows:
        curve = [row["as_is"]["accuracy"] if "as_is" in row else 0.0]
        curve += [found["accuracy"] for found in row["test"]]
        needed.append(next((n for n, value in enumerate(curve) if value >= target), most + 1))
    missed = sum(n > most for n in needed)
    words = f"{np.mean(needed):.1f}"
    return words + (f" (not reached by {missed}, counted as {most + 1})" if missed else "")


def _all_comparisons(rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> list[str]:
    plain = [arm for arm in arms if "absorbed" not in arm]
    rivals = [arm for arm in arms if arm in PLAIN or arm not in plain]
    lines: list[str] = []
    firsts = (BRANCHES, rivals), (OURS, plain), (OURS + ABSORBED, rivals), (SOUP, rivals)
    for best, others in firsts:
        table = _comparisons(rows, others, best)
        lines += [""] * bool(lines and table) + table
    return lines


def _comparisons(rows: Sequence[Mapping[str, Any]], arms: Sequence[str], best: str) -> list[str]:
    """Return paired differences of one arm to others."""
    by_arm = {a: {(r["data"], r["seed"]): r for r in rows if r["arm"] == a} for a in arms}
    ours = by_arm.get(best, {})
    lines = [
        f"| {best} minus | pairs | as is: accuracy | as is: NLL | one epoch: accuracy "
        "| one epoch: NLL | fine-tuned: accuracy | fine-tuned: NLL | p of the last, by Holm |",
        "|---" * 9 + "|",
    ]
    found = []
    for arm in arms:
        keys = sorted(set(ours) & set(by_arm[arm]))
        if arm == best or len(keys) < 2:
            continue
        cells, chance = [], 1.0
        for name, metric in itertools.product(ENDPOINTS, ("accuracy", "loss")):
            pairs = [[endpoint(x[key], name, metric) for key in keys] for x in (ours, by_arm[arm])]
            if None in pairs[0] + pairs[1]:
                cells.append("–")
                continue
            mean, half, p = paired(*pairs)
            factor, unit = (100, " points") if metric == "accuracy" else (1, "")
            digits = 1 if metric == "accuracy" else 3
            cells.append(f"{mean * factor:+.{digits}f} ± {half * factor:.{digits}f}{unit}")
            chance = p if (name, metric) == ("fine-tuned", "loss") else chance
        found.append((arm, len(keys), cells, chance))
    for (arm, count, cells, _), chance in zip(found, holm([f[3] for f in found]), strict=True):
        lines.append(f"| {arm} | {count} | {' | '.join(cells)} | {chance:.3f} |")
    return lines if found else []


def main() -> None:
    """Run the experiment, or only make its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--report", action="store_true", help="write and print the tables, and stop"
    )
    parser.add_argument("--settings", nargs="*", default=[], help="only these")
    parser.add_argument("--data", nargs="*", default=[], help="only these data sets")
    parser.add_argument("--seeds", nargs="*", type=int, default=[], help="only these")
    parser.add_argument("--arms", nargs="*", default=[], help="only these")
    options = parser.parse_args()
    config = tomllib.loads((HERE / "scoreboard.toml").read_text(encoding="utf-8"))
    if not options.report:
        run(config, options)
    before = f"\n# Before: scored with copies\n{report(config, measured(BEFORE))}"
    tables = report(config, measured(JOURNAL))
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(written + MARK + tables + before, encoding="utf-8")
    print(tables)


if __name__ == "__main__":
    main()
