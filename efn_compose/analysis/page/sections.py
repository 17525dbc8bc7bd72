"""The sections of the report that are words and tables: verdict, scoreboard, origin, environment."""

from typing import Any

from efn_compose.analysis.charts.chart_fitness import chip
from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import facts, fingerprint, folded, table
from efn_compose.analysis.html.report_svg import shortened
from efn_compose.analysis.page.commands import report_command, reproduce_command, resume_command
from efn_compose.analysis.reading.composition.origins import origin_words
from efn_compose.analysis.reading.figures import (
    NOTHING,
    count,
    difference_text,
    duration,
    interval_text,
    loss_text,
    mean_and_error,
    percent,
)
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.noise import Noise
from efn_compose.analysis.reading.plan import outlook
from efn_compose.analysis.reading.scoreboard import ArmView, Scoreboard
from efn_compose.analysis.reading.search_view import SearchView
from efn_compose.analysis.reading.timing import Timing
from efn_compose.donors.licences import licences_of, resulting_licence
from efn_compose.evolve.verdict.verdict import (
    AVERAGE,
    COMPOSED,
    CONTROL,
    RIVALS,
    Difference,
    direction,
)

#: Characters of a failure's reason; the journal has all of it.
_REASON = 600
PARTS = ("train", "validation", "test")
#: Who may win, as the beginning of a sentence.
_CHALLENGERS = {
    COMPOSED: "Composed weights beat",
    AVERAGE: "The average of all donors beats",
    CONTROL: "The best random composition beats",
}


def headline(run: RunView, board: Scoreboard, search: SearchView) -> str:
    """Return the verdict in one line."""
    if run.result:
        if board.winner in _CHALLENGERS:
            return _victory(board)
        return f"Nothing beat {board.rival_title}."
    if not run.evaluations:
        return "No evaluation has finished yet."
    best = search.best
    if best is None:
        is_trained = any(e.phase == "population" and e.loss is not None for e in run.evaluations)
        return "No verdict yet." if is_trained else "No candidate has a score yet."
    donor = run.genomes.pure_donor(best.genome)
    if donor is not None:
        return f"No verdict yet; a pure donor leads: {run.donor_name(donor)}."
    return "No verdict yet; a composed genome leads."


def _victory(board: Scoreboard) -> str:
    """Return the gain, and whether the test split agrees."""
    arm = board.arm(board.winner)
    who = _CHALLENGERS[board.winner]
    if board.best_donor in RIVALS:
        who += " every donor, and"
    found = board.difference(arm, "test") if arm is not None else None
    side = -1 if arm is None or found is None else direction(found, len(arm.test_loss))
    if side < 0:
        return f"{who} {board.rival_title}."
    if side > 0:
        return f"{who} {board.rival_title}, on validation, but not on test."
    return f"{who} {board.rival_title}, on validation; the test leaves it open."


def verdict_words(run: RunView) -> Html:
    """Return the verdict of the run, or the reason why there is none."""
    if run.result:
        words = str(run.result.get("verdict") or "The result holds no words.")
    elif run.status == "going on":
        words = (
            f"The run is going on ({run.owner}). What follows is what the journal says so far; a "
            "verdict needs the finals on fresh seeds and the test split."
        )
    else:
        words = (
            "The run was interrupted before its verdict. Nothing is lost: every finished evaluation "
            "is in the journal, and this command goes on from there."
        )
    extra = None
    if run.status == "interrupted":
        extra = element("pre", resume_command(run))
    flags = [element("p", flag, class_="quiet") for flag in run.flags]
    return element("div", element("p", words, class_="words"), flags, extra)


def key_figures(run: RunView, board: Scoreboard, search: SearchView, clock: Timing) -> Html:
    """Return the figures that everyone wants first."""
    entries: list[tuple[str, Any, Any]] = []
    challenger = board.arm(board.winner) or board.arm("composed")
    if challenger is not None and challenger.name == board.best_donor:
        challenger = board.arm("composed") or board.arm("uniform_average")
    rival = board.arm(board.best_donor)
    part = board.part
    if challenger is not None and rival is not None:
        found = board.difference(challenger)
        entries.append(
            (
                f"{challenger.title} against {board.rival}, {part} loss",
                difference_text(found),
                _interval_words(challenger, found),
            )
        )
        written, other = (rival, challenger) if board.winner == rival.name else (challenger, rival)
        if written.test_scores.get("accuracy") and other.test_scores.get("accuracy"):
            entries.append(
                (
                    f"Test accuracy of {written.title}",
                    mean_and_error(written.test_scores["accuracy"], 2, 100) + " %",
                    f"{other.title} {mean_and_error(other.test_scores['accuracy'], 2, 100)}\u00a0%",
                )
            )
    words = _evaluation_words(run, search, clock)
    entries.append(("Evaluations", f"{len(run.evaluations):,}", words))
    rate = clock.evaluations_per_hour
    entries.append(
        (
            "Time",
            duration(clock.busy_seconds),
            f"{rate:,.0f} evaluations/h on {count(len(clock.workers), 'worker')}" if rate else None,
        )
    )
    return facts(entries, main=0 if challenger is not None else None)


def _evaluation_words(run: RunView, search: SearchView, clock: Timing) -> str:
    tried = [] if run.trains_on else [count(search.genomes, "genome")]
    words = ", ".join([*tried, count(len(search.failures), "failure")])
    found = outlook(run, clock)
    if found is None:
        return words
    words += f"; of at most {found.planned:,} planned"
    return words + (f", {duration(found.seconds)} to go at this pace" if found.seconds else "")


def _interval_words(arm: ArmView, found: Difference | None) -> str:
    words = "paired difference ± standard error; negative is better"
    if found is None:
        return words
    return f"{words}; 95 % interval {interval_text(found, len(arm.validation_loss))}"


def problems_box(run: RunView) -> Html | None:
    """Return the list of missing or damaged files; None if there are none."""
    if not run.problems:
        return None
    return element(
        "div",
        element("p", element("strong", "This report is incomplete.")),
        element("ul", [element("li", problem) for problem in run.problems]),
        class_="box",
        role="note",
    )


def scoreboard_table(run: RunView, board: Scoreboard) -> Html:
    """Return winner, donors and average with means, errors and paired differences."""
    if not board.arms:
        words = "The finals have not begun: contestants are run on fresh seeds after the search."
        if finals := run.by_phase.get("final"):
            words = (
                "The finals have begun: finalists are compared with each other on fresh seeds, "
                f"{count(len(finals), 'evaluation')} so far. Donors are run after that."
            )
        return element("p", words, class_="quiet")
    numbers = {donor.name: donor.number for donor in run.donors}
    metrics = list(dict.fromkeys(metric for arm in board.arms for metric in arm.test_scores))
    rows, classes = [], []
    for arm in board.arms:
        label: list[Any] = []
        if arm.kind == "donor" and arm.name in numbers:
            label += [chip(numbers[arm.name]), " "]
        label.append(name(arm.title))
        if arm.name == board.winner:
            label.append(element("small", " written", class_="quiet"))
        elif arm.name == board.best_donor:
            label.append(element("small", f" {board.rival}", class_="quiet"))
        relative = (
            "rival"
            if arm.name == board.best_donor
            else difference_text(board.difference(arm, "test"))
        )
        rows.append(
            [
                label,
                mean_and_error(arm.test_loss),
                relative,
                *(_metric(metric, arm.test_scores.get(metric, ())) for metric in metrics),
                mean_and_error(arm.validation_loss),
                NOTHING
                if arm.name == board.best_donor
                else difference_text(board.difference(arm, "validation")),
            ]
        )
        classes.append("winner" if arm.name == board.winner else "")
    seeds = max(len(arm.validation_loss) for arm in board.arms)
    head = ["Contestant", "Test loss", f"vs {board.rival}"]
    head += [
        f"Test {metric}" + (" (%)" if metric in ("accuracy", "auc") else "") for metric in metrics
    ]
    head += ["Validation loss", f"vs {board.rival}"]
    caption = (
        f"Mean ± standard error over {count(seeds, 'fresh seed')}, the same for all; losses in nats. "
        "Differences are paired by seed, and negative ones are better. The decision is made on "
        "validation; the test split is scored once, at the end."
    )
    return table(head, rows, numeric=range(1, len(head)), caption=caption, row_classes=classes)


def _metric(metric: str, values: tuple[float, ...]) -> str:
    if metric in ("accuracy", "auc"):
        return mean_and_error(values, 2, 100)
    return mean_and_error(values)


def noise_words(noise: Noise | None, search: SearchView) -> list[Any]:
    """Return the section on the noise measurement."""
    if noise is None:
        return [element("p", "The noise of the fitness was not measured.", class_="quiet")]
    words = [
        "The same donor, ", name(noise.arm), f", was evaluated under "
        f"{count(len(noise.losses), 'seed')}: mean loss {loss_text(noise.centre)}",
    ]  # fmt: skip
    if noise.deviation is not None:
        words.append(f", standard deviation {loss_text(noise.deviation)} nats")
    words.append(". Differences smaller than that say nothing when each side was run once.")
    if search.noise_deviation is not None:
        words.append(
            " Genomes re-run in later generations scatter by "
            f"{loss_text(search.noise_deviation)} once the luck that a generation shares is removed."
        )
    return [element("p", words)]


def data(run: RunView) -> list[Html]:
    """Return the data split by class and part."""
    found = run.data
    names = found.get("class_names")
    counts = found.get("counts")
    if not isinstance(names, list) or not isinstance(counts, dict):
        return [element("p", "The run does not describe its data.", class_="quiet")]
    parts = [part for part in PARTS if isinstance(counts.get(part), list)]
    totals = {part: sum(counts[part]) for part in parts}
    rows = [
        [name(class_name), *(_at(counts[part], number) for part in parts)]
        for number, class_name in enumerate(names)
    ]
    rows.append(["All classes", *(f"{totals[part]:,}" for part in parts)])
    size = found.get("size")
    words = [
        name(found.get("name", "unknown")),
        f", {count(len(names), 'class', 'classes')}, {size}×{size} pixels. Fingerprint ",
        fingerprint(found.get("fingerprint")),
        ". Which image is in which part stands in ",
        element("code", "split.json"),
        ".",
    ]
    rows_table = table(
        ["Class", *(part.capitalize() for part in parts)],
        rows,
        numeric=range(1, len(parts) + 1),
        caption="Images by class and part",
    )
    content = rows_table if len(names) <= 12 else folded(f"All {len(names)} classes", rows_table)
    summary = element(
        "p",
        ", ".join(f"{part} {totals[part]:,} images" for part in parts).capitalize() + ".",
    )
    return [element("p", words), summary, content]


def _at(values: list[Any], number: int) -> str:
    return f"{values[number]:,}" if number < len(values) else NOTHING


def donors(run: RunView) -> list[Html]:
    """Return where each donor comes from."""
    rows = []
    for donor in run.founders:
        origin = donor.provenance
        rows.append(
            [
                [chip(donor.number), " ", name(donor.name)],
                name(origin_words(origin)),
                str(origin.get("dialect", NOTHING)),
                ", ".join(licences_of(donor.provenance)) or "unknown",
                fingerprint(origin.get("sha256")),
                fingerprint(donor.fingerprint),
            ]
        )
    licence = resulting_licence([donor.provenance for donor in run.donors])
    head = ["Donor", "Source", "Dialect", "Licence", "Source SHA-256", "Fingerprint"]
    return [
        table(
            head,
            rows,
            caption=f"{count(len(run.founders), 'donor')} of network {run.variant or 'unknown'}",
        ),
        element("p", f"Licence of the result: {licence.name}. {licence.words}"),
    ]


def environment(run: RunView) -> list[Html]:
    """Return versions, seeds and hashes."""
    found = run.environment
    rows: list[list[Any]] = [
        ["Run seed", str(run.setting("run", "seed", NOTHING))],
        ["Began", str(found.get("created", NOTHING))],
        ["Source revision", element("code", found.get("revision") or "unknown")],
        ["Python", str(found.get("python", NOTHING))],
        ["Platform", str(found.get("platform", NOTHING))],
        ["Cores", str(found.get("cores", NOTHING))],
    ]
    packages = found.get("packages")
    for package, version in (packages if isinstance(packages, dict) else {}).items():
        rows.append([str(package), str(version or "not installed")])
    identity = found.get("identity")
    for what, digest in (identity if isinstance(identity, dict) else {}).items():
        what = "Seed" if what == "seed" else f"Hash of {what}"
        rows.append([what, element("span", digest, class_="hash")])
    if run.result.get("weights_sha256"):
        rows.append(
            [
                ["SHA-256 of ", name(run.result.get("weights", "weights"))],
                element("span", run.result["weights_sha256"], class_="hash"),
            ]
        )
    return [
        table(["What", "Value"], rows, caption="Machine and versions of the run"),
        folded("Configuration, resolved", element("pre", _config_text(run))),
    ]


def _config_text(run: RunView) -> str:
    lines = []
    for title, values in run.config.items():
        if isinstance(values, dict):
            lines.append(f"[{title}]")
            lines += [f"{key} = {value!r}" for key, value in values.items()]
        else:
            lines.append(f"{title} = {values!r}")
    return "\n".join(lines) or "missing"


def commands(run: RunView) -> list[Html]:
    """Return how to make the run again, go on with it, and redraw this page."""
    return [
        element("h3", "Reproduce"),
        element("pre", reproduce_command(run)),
        element(
            "p",
            "The same versions, donors and data give the same journal but for times, with any number "
            "of workers.",
            class_="quiet",
        ),
        element("h3", "Resume"),
        element("pre", resume_command(run)),
        element("h3", "Redraw this page"),
        element("pre", report_command(run)),
    ]


def failures(run: RunView, search: SearchView) -> list[Html]:
    """Return failed evaluations with their reasons, empty without failures."""
    if not search.failures:
        return []
    shown = search.failures[:20]
    rows = [
        [str(e.index), e.phase, str(e.generation), name(shortened(e.error or "", _REASON))]
        for e in shown
    ]
    more = len(search.failures) - len(shown)
    return [
        element(
            "p",
            f"{count(len(search.failures), 'evaluation')} of {len(run.evaluations):,} "
            f"({percent(len(search.failures) / max(1, len(run.evaluations)), 1)}) failed. A failure "
            "is never a fitness: such a genome is out.",
        ),
        table(
            ["Evaluation", "Phase", "Generation", "Reason"],
            rows,
            caption="Failed evaluations" + (f", the first 20; {more:,} more" if more else ""),
        ),
    ]
