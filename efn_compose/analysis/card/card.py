"""The model card, card.md: origin, licence and scores of the magic weights, and how to load them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efn_compose.analysis.card.card_loading import has_classifier, loading
from efn_compose.analysis.card.card_text import code, inline
from efn_compose.analysis.html.markup import clean
from efn_compose.analysis.html.palette import letter
from efn_compose.analysis.page.commands import reproduce_command
from efn_compose.analysis.reading.composition.donor_map import DonorMapView, donor_maps
from efn_compose.analysis.reading.composition.origins import origin_words
from efn_compose.analysis.reading.figures import (
    count,
    difference_text,
    interval_text,
    loss_text,
    mean_and_error,
    percent,
)
from efn_compose.analysis.reading.journal_view import RunView, read_run
from efn_compose.analysis.reading.noise import noise_of
from efn_compose.analysis.reading.scoreboard import Scoreboard, scoreboard
from efn_compose.analysis.reading.search_view import search_view
from efn_compose.analysis.reading.stored_values import recipe_values
from efn_compose.compose import Recipe, ShareGenomeSpace
from efn_compose.donors.licences import licences_of, resulting_licence
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.verdict.verdict import CONTROL
from efn_compose.store import write_text
from efn_compose.store.run_folder import CARD_FILE, WEIGHTS_FILE

#: Classes named one by one on the card.
_NAMED_CLASSES = 30


def write_card(run_path: str | os.PathLike[str]) -> Path:
    """Write a run's model card from its folder alone, atomically.

    Args:
        run_path: The run folder. Without a verdict the card says so.

    Returns:
        Path of `card.md`.

    Raises:
        RunError: The folder holds no run, or the card cannot be written.

    Example:
        >>> write_card("runs/quickstart")  # doctest: +SKIP
        PosixPath('runs/quickstart/card.md')
    """
    path = Path(run_path) / CARD_FILE
    write_text(path, render_card(read_run(run_path)))
    return path


def render_card(run: RunView) -> str:
    """Return the model card, Markdown with a YAML head."""
    board = scoreboard(run)
    maps = donor_maps(run, search_view(run)) if run.result else []
    sections = [
        _head(run),
        _what(run, board),
        _scores(run, board),
        *([loading(run)] if run.result else []),
        _donors(run, maps[0] if maps else None),
        _limits(run, board),
        _recipe(run),
    ]
    return "\n".join(sections)


def _head(run: RunView) -> str:
    licence = resulting_licence([donor.provenance for donor in run.donors])
    # JSON strings are YAML strings; that way no name from data can break out.
    fields: dict[str, Any] = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "license": licence.name.lower() if " " not in licence.name else "other",
        "license_name": licence.name,
        "tags": ["efficientnet", "efn_compose", clean(run.variant) or "unknown"],
    }
    # A folder or a file of the user's is no data set that others can look up.
    if ":" not in run.data.get("name", ":"):
        fields["datasets"] = [clean(run.data["name"])]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def _what(run: RunView, board: Scoreboard) -> str:
    weights = run.result.get("weights") or WEIGHTS_FILE
    lines = [f"# {inline(run.name)}: EfficientNet {inline(run.variant or 'weights')}", ""]
    if not run.result:
        lines += [
            f"**No verdict yet** ({run.status}, {count(len(run.evaluations), 'evaluation')}). "
            "This card describes the run so far; there are no weights to load.",
            "",
        ]
        return "\n".join(lines)
    lines += [
        f"Starting weights {code(weights)} for training an EfficientNet on data like "
        f"{inline(run.data.get('name', 'unknown'))}, "
        f"{'with the classifier of the run' if has_classifier(run) else 'without a classifier'}. "
        f"{_made(run, board)}",
        "",
        f"**Verdict.** {inline(run.result.get('verdict', ''))}",
        "",
        *(line for flag in run.flags for line in (f"**Note.** {inline(flag)}", "")),
        f"SHA-256 of the file: {code(run.result.get('weights_sha256', 'unknown'))}",
        "",
    ]
    return "\n".join(lines)


def _made(run: RunView, board: Scoreboard) -> str:
    donors = count(len(run.founders), "donor")
    if has_classifier(run):
        recipe = run.result.get("recipe")
        used = sum(weight > 0 for weight in recipe_values(recipe)) if recipe else "several"
        states = f"the average of {used} states" if board.winner == "composed" else "one state"
        branches = _branches(run)
        split = f" of {branches} branches, averaged after every generation," if branches > 1 else ""
        return (
            f"They are {states} of a training{split} on the run's training images. Scores on those, and "
            "on the validation images they were chosen on, are too good; the test images are listed "
            "in split.json."
        )
    if board.winner == "composed":
        if run.granularity in ShareGenomeSpace.granularities:
            part = run.granularity.removesuffix("_share")
            ancestor = inline(run.donor_name(run.ancestor))
            return (
                f"A search chose, for every {part} of the network, how far to go from {ancestor} "
                f"towards each of its {count(len(run.donors) - 1, 'relative')}."
            )
        unit = run.granularity or "part"
        return f"A genetic algorithm chose one of {donors} for every {unit} of the network."
    if board.winner == CONTROL:
        return f"They are the best of random compositions of {donors}; the search found nothing better."
    if board.winner == "uniform_average":
        return f"They are the uniform average of {donors}; no composed candidate did better."
    return (
        f"They are those of the donor {inline(board.winner)}, unchanged: no composition of the "
        f"{donors} beat it clearly."
    )


def _branches(run: RunView) -> int:
    """Return into how many trainings, side by side, the last generation split each line."""
    trained = [e for e in run.evaluations if e.phase == "population"]
    last = max((e.generation for e in trained), default=0)
    if not isinstance(run.kind, Halving):
        return 1
    is_split = sum(e.generation == last for e in trained) > run.kind.lines
    return run.kind.branches if is_split else 1


def _scores(run: RunView, board: Scoreboard) -> str:
    lines = ["## Scores", ""]
    if not board.arms:
        return "\n".join([*lines, "The finals have not been run.", ""])
    metrics = list(dict.fromkeys(metric for arm in board.arms for metric in arm.test_scores))
    head = ["Contestant", "Test loss", f"vs {board.rival}", *(f"Test {m}" for m in metrics)]
    head += ["Validation loss", f"vs {board.rival}"]
    lines += [_row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for arm in board.arms:
        mark = " **(written)**" if arm.name == board.winner else ""
        rival = board.rival if arm.name == board.best_donor else None
        lines.append(
            _row(
                [
                    inline(arm.title) + mark,
                    mean_and_error(arm.test_loss),
                    rival or difference_text(board.difference(arm, "test")),
                    *(mean_and_error(arm.test_scores.get(m, ())) for m in metrics),
                    mean_and_error(arm.validation_loss),
                    rival or difference_text(board.difference(arm, "validation")),
                ]
            )
        )
    seeds = max(len(arm.validation_loss) for arm in board.arms)
    epochs = run.setting("fitness", "epochs", 1)
    passes = "one epoch" if epochs == 1 else f"{epochs:g} epochs"
    lines += [
        "",
        f"Each contestant was trained for {passes} from its weights as they are, with a fresh "
        f"classifier where it brings none, on {count(seeds, 'fresh seed')} common to all: "
        "mean ± standard error over seeds, mean cross-entropy in nats. Differences are paired by "
        "seed; negative is better. "
        f"{_interval(board, seeds)}"
        "The errors cover the luck of training, not the luck of drawing the images.",
        "",
    ]
    return "\n".join(lines)


def _interval(board: Scoreboard, seeds: int) -> str:
    """Return the 95 % interval of the written weights, or of the best challenger, in words."""
    arm = board.arm(board.winner)
    if arm is None or arm.name == board.best_donor:
        arm = board.arm("composed") or board.arm("uniform_average")
    found = board.difference(arm, "test") if arm is not None else None
    if arm is None or found is None:
        return ""
    return (
        f"The 95 % interval of {arm.title.lower()} minus {board.rival} on test is "
        f"{interval_text(found, seeds)} (Student's t). "
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _donors(run: RunView, view: DonorMapView | None) -> str:
    licence = resulting_licence([donor.provenance for donor in run.donors])
    shares = view.donor_shares if view is not None and not view.weights else {}
    if view is not None and view.weights:
        shares = dict(enumerate(view.weights))
    # Shares of relatives come to an average whose weights may be below 0.
    is_mixed = view is not None and view.is_mixed
    what = "Size of its weight, of all sizes" if is_mixed else "Share of parameters"
    lines = ["## Donors and licence", ""]
    lines += [
        _row(["Donor", "Source", "Licence", what, "SHA-256 of the source"]),
        _row(["---", "---", "---", "---:", "---"]),
    ]
    for donor in run.founders:
        origin = donor.provenance
        lines.append(
            _row(
                [
                    f"{letter(donor.number)} {inline(donor.name)}",
                    inline(origin_words(origin)),
                    inline(", ".join(licences_of(origin)) or "unknown"),
                    percent(shares.get(donor.number, 0.0)) if shares else "–",
                    code(origin.get("sha256") or "unknown").replace("|", "\\|"),
                ]
            )
        )
    lines += [
        "",
        f"Licence of these weights: **{inline(licence.name)}**. {inline(licence.words)}",
        "",
    ]
    return "\n".join(lines)


def _limits(run: RunView, board: Scoreboard) -> str:
    noise, counts = noise_of(run), run.data.get("counts")
    names = run.data.get("class_names") or []
    lines = ["## Limits", ""]
    totals = {
        part: sum(counts[part])
        for part in ("train", "validation", "test")
        if isinstance(counts, dict) and isinstance(counts.get(part), list)
    }
    if totals:
        images = ", ".join(f"{part} {total:,}" for part, total in totals.items())
        lines.append(
            f"- Chosen and judged on {inline(run.data.get('name', 'unknown'))} at "
            f"{run.data.get('size', '?')} pixels ({images} images). Other data, other sizes and "
            "longer training may rank the donors otherwise."
        )
    if names:
        shown = ", ".join(inline(entry) for entry in names[:_NAMED_CLASSES])
        more = f" and {len(names) - _NAMED_CLASSES} more" if len(names) > _NAMED_CLASSES else ""
        lines.append(f"- Classes: {shown}{more}.")
    if noise is not None and noise.deviation is not None:
        lines.append(
            f"- One evaluation of the same donor scatters by {loss_text(noise.deviation)} nats "
            f"(standard deviation over {count(len(noise.losses), 'seed')}); smaller differences mean "
            "nothing unless they are averaged over seeds."
        )
    head = "" if has_classifier(run) else ": the classifier is yours to train"
    lines += [
        f"- These are starting weights{head}. They know what their donors knew, prejudices included.",
        "- No check for fairness, robustness or medical fitness has been made.",
        "",
    ]
    return "\n".join(lines)


def _parts(run: RunView, genome: Sequence[float]) -> list[str]:
    """Return a table of the parts of the network and the donors of each."""
    maps = donor_maps(run, search_view(run))
    lines = [f"A genome of {len(genome):,} genes ({run.granularity} granularity); by part:", ""]
    lines += [_row(["Part", "Donors"]), _row(["---", "---"])]
    for segment in maps[0].segments if maps else ():
        taken = segment.mix.shares if segment.mix is not None else segment.shares
        shares = ", ".join(
            f"{inline(run.donor_name(donor))} {percent(share)}" for donor, share in taken.items()
        )
        if segment.mix is not None:
            shares = f"{inline(run.donor_name(segment.mix.ancestor))}, moved by {shares}"
        lines.append(_row([inline(segment.name), shares + ", averaged" * bool(segment.blend)]))
    return lines


def _recipe(run: RunView) -> str:
    recipe = run.result.get("recipe") or {}
    lines = ["## Recipe", ""]
    if recipe:
        values = Recipe.stored_values(recipe)
        if recipe.get("kind") == "genome" and not run.genomes.genes_are_donors:
            lines += _parts(run, values)
        elif recipe.get("kind") == "genome" and len(values) == len(run.loci):
            lines += [_row(["Part", "Donor"]), _row(["---", "---"])]
            lines += [
                _row([inline(locus), inline(run.donor_name(value))])
                for (locus, _), value in zip(run.loci, values, strict=True)
            ]
        else:
            lines.append(f"{inline(recipe.get('kind', 'recipe'))}: {code(json.dumps(values))}")
        lines.append("")
    revision = run.environment.get("revision")
    packages = run.environment.get("packages")
    versions = packages if isinstance(packages, dict) else {}
    named = ", ".join(
        f"{inline(package)} {inline(versions[package])}"
        for package in ("efn_compose", "tensorflow", "keras", "numpy")
        if versions.get(package)
    )
    lines += [
        f"Seed {inline(run.setting('run', 'seed', 'unknown'))}; made with {named or 'unknown versions'}"
        + (f", revision {code(revision)}" if revision else "")
        + ". Make it again:",
        "",
        "```sh",
        clean(reproduce_command(run)).replace("```", "` ` `"),
        "```",
        "",
        "The whole story, with every evaluation, is in `report.html` beside this file.",
        "",
    ]
    return "\n".join(lines)
