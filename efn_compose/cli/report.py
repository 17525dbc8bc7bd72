"""`efn-compose report`: draw a run's page, compare runs, follow or serve one.

The page, report.html, is drawn from the run folder alone. The run may be going on, finished or broken.
Several runs give one page that compares them with the first.
"""

import argparse
import time
from contextlib import suppress
from pathlib import Path

from efn_compose.analysis.page.compare import COMPARISON_FILE, write_comparison
from efn_compose.analysis.page.pretraining_page import is_pretraining, write_pretraining_report
from efn_compose.analysis.page.report import write_report
from efn_compose.analysis.page.report_server import LOOPBACK, LivePage, make_server
from efn_compose.analysis.page.story_page import is_story, write_story_page
from efn_compose.analysis.page.study_report import write_study_report
from efn_compose.cli.shared.arguments import add_output
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError
from efn_compose.store import write_text
from efn_compose.store.run_folder import REPORT_FILE
from efn_compose.store.study_files import STUDY_FILE

EXAMPLE = "efn-compose report runs/quickstart --follow --serve"
#: Seconds between two looks at a run.
_PACE = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folder of a search; named alone, also of a pretraining, a study or a pipeline",
    )
    add_output(
        parser,
        "page to write (default: report.html in the run folder, comparison.html in the first)",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="draw again whenever the run has moved, until its verdict",
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="serve the page to this machine only; write nothing",
    )
    parser.add_argument("--port", type=int, help="port for --serve (default: any free one)")
    parser.add_argument(
        "--every",
        type=float,
        metavar="SECONDS",
        help="pace of --follow and of the page of --serve (default: 5)",
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """Draw, compare, follow or serve."""
    paths = [Path(path) for path in options.runs]
    _check(options, paths)
    if options.serve:
        _serve(options, output, paths)
    elif options.follow:
        _follow(options, output, paths)
    else:
        path = _write(options, paths)
        output.result({"report": str(path)}, str(path))


def _check(options: argparse.Namespace, paths: list[Path]) -> None:
    """Refuse flags that make no sense, or have no effect where they stand."""
    problems = []
    if options.every is not None and not options.every >= 0.1:
        problems.append(f"--every must be at least 0.1 seconds. Received: {options.every}.")
    if options.every is not None and not (options.follow or options.serve):
        problems.append("--every is the pace of --follow and --serve. Add one of them.")
    if options.port is not None and not 0 <= options.port <= 65535:
        problems.append(f"--port must lie in 0 to 65535. Received: {options.port}.")
    if options.port is not None and not options.serve:
        problems.append("--port is that of --serve. Add --serve.")
    if options.output is not None and options.serve:
        problems.append(f"--serve writes nothing. Remove it, or -o {options.output}.")
    stories = [str(path) for path in paths if is_story(path)]
    if stories and (options.serve or options.follow or len(paths) > 1):
        problems.append(
            f"{', '.join(stories)}: a pipeline, which draws its page anew after each chapter. Name it "
            "alone, without --follow and --serve. A chapter that searches can be followed in its own "
            "folder."
        )
    if problems:
        raise ConfigError("\n".join(problems))


def _write(options: argparse.Namespace, paths: list[Path]) -> Path:
    if len(paths) > 1:
        return write_comparison(paths, options.output)
    if (paths[0] / STUDY_FILE).exists():
        return write_study_report(paths[0], options.output)
    if is_story(paths[0]):
        return write_story_page(paths[0], options.output or "")
    if is_pretraining(paths[0]):
        return write_pretraining_report(paths[0], options.output or "")
    if not options.output:
        return write_report(paths[0])
    path = Path(options.output)
    write_text(path, LivePage(paths, 0).render())
    return path


def _serve(options: argparse.Namespace, output: Output, paths: list[Path]) -> None:
    page = LivePage(paths, max(1, round(_pace(options))))
    # Drawn once before the address is given out, so that a wrong folder is an error here.
    page.render()
    server = make_server(page, options.port or 0)
    address = f"http://{LOOPBACK}:{server.server_address[1]}/"
    output.result({"address": address}, f"{address}  (Ctrl-C ends it)")
    try:
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    finally:
        server.server_close()


def _follow(options: argparse.Namespace, output: Output, paths: list[Path]) -> None:
    page = LivePage(paths, max(1, round(_pace(options))))
    default = paths[0] / (REPORT_FILE if len(paths) == 1 else COMPARISON_FILE)
    path = Path(options.output) if options.output else default
    # Written once before the path is given out, so that a wrong folder is an error here.
    drawn = page.state()
    write_text(path, page.render())
    output.result({"report": str(path)}, f"{path}  (Ctrl-C ends following)")
    with suppress(KeyboardInterrupt):
        while not page.is_finished:
            state = page.state()
            if state != drawn:
                write_text(path, page.render())
                drawn = state
            else:
                time.sleep(_pace(options))


def _pace(options: argparse.Namespace) -> float:
    return _PACE if options.every is None else float(options.every)
