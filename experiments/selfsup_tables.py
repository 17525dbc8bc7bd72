"""Tables of learning from images alone, from the journal's lines.

Purpose: one table of differences per data set: every arm minus the donor absorbed on the same images, by
         number of labels; and one of the features alone.
Command: `python experiments/selfsup.py --report` writes them.
Result:  experiments/results/selfsup.md
"""

from collections.abc import Iterable

import numpy as np

from efn_compose.evolve.verdict.verdict import paired_difference

BASE = "absorbed"
CONTROLS = (BASE, "statistics only")
NAMES = {"digits": "Digits", "fashion_mnist": "Garments", "textures": "Textures"}
#: Arms of fewer seeds have no error that counts.
FEWEST = 3


def title(record: dict) -> str:
    """Return the arm of a line and its updates; controls have none."""
    arm: str = record["arm"]
    return arm if arm in CONTROLS else f"{arm}, {record['updates']} updates"


def tables(found: list[dict]) -> str:
    """Return both tables of each data set, those of the short trainings first."""
    lines = []
    for source in dict.fromkeys(r["source"] for r in found):
        mine = [r for r in found if r["source"] == source]
        counts = sorted({r["labelled"] for r in mine})
        arms = sorted(
            dict.fromkeys(title(r) for r in mine),
            key=lambda arm: (arm not in CONTROLS, " norm" in arm),
        )
        lines += [f"\n## {NAMES[source]}\n", *_differences(mine, arms, counts)]
        lines += ["", *_features(mine, arms, counts[0])]
    return "\n".join(lines)


def _differences(mine: list[dict], arms: list[str], counts: list[int]) -> Iterable[str]:
    heads = [f"{n} labels: {unit}" for n in counts for unit in ("points", "nats")]
    yield "| arm, minus absorbed | seeds | " + " | ".join(heads) + " |"
    yield "|" + "---|" * (2 + len(heads))
    for arm in arms:
        cells, seeds = [], set()
        for count in counts:
            base, rows = _by_seed(mine, BASE, count), _by_seed(mine, arm, count)
            seeds.add(len(rows))
            for score, scale, digits in (("accuracy", 100, 1), ("loss", 1, 3)):
                if arm == BASE:
                    cells.append(f"({_mean(rows, score) * scale:.{digits}f})")
                else:
                    cells.append(_change(rows, base, score, scale, digits))
        some = " to ".join(str(n) for n in sorted({min(seeds), max(seeds)}))
        refused = {r["seed"] for r in mine if title(r) == arm and "refused" in r}
        some += f", {len(refused)} refused" if refused else ""
        yield f"| {arm} | {some} | " + " | ".join(cells) + " |"


def _features(mine: list[dict], arms: list[str], count: int) -> Iterable[str]:
    yield f"| arm | ridge, {count} labels | neighbours, {count} labels | processor, s | alarms |"
    yield "|" + "---|" * 5
    for arm in arms:
        rows = _by_seed(mine, arm, count)
        if not rows:
            continue
        seconds = [r["processor_seconds"] for r in rows.values() if "processor_seconds" in r]
        alarms = [word for row in rows.values() for word in row.get("alarms", ())]
        said = [f"{word} ({alarms.count(word)})" for word in sorted(set(alarms))]
        cells = [
            arm, f"{_mean(rows, 'ridge'):.3f}", f"{_mean(rows, 'knn'):.3f}",
            f"{np.median(seconds):.0f}" if seconds else "", ", ".join(said),
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def _by_seed(mine: list[dict], arm: str, count: int) -> dict[int, dict]:
    """Return an arm's lines by seed; a refusal has no scores, and is none of them."""
    own = (r for r in mine if title(r) == arm and r["labelled"] == count)
    return {r["seed"]: r for r in own if "scores" in r}


def _mean(rows: dict[int, dict], score: str) -> float:
    return float(np.mean([row["scores"][score] for row in rows.values()]))


def _change(
    rows: dict[int, dict], base: dict[int, dict], score: str, scale: int, digits: int
) -> str:
    seeds = sorted(rows.keys() & base.keys())
    if len(seeds) < FEWEST:
        return ""
    ours, theirs = (
        [scale * side[seed]["scores"][score] for seed in seeds] for side in (rows, base)
    )
    found = paired_difference(ours, theirs)
    text = f"{found.mean:+.{digits}f} ± {found.standard_error:.{digits}f}"
    # The better side of zero by more than two standard errors.
    is_better = found.mean if score == "accuracy" else -found.mean
    return f"**{text}**" if is_better > 2 * found.standard_error else text
