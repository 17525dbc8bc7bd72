"""`efn-compose report`: draw a run's page, compare runs, follow or serve one.

The page, report.html, is drawn from the run folder alone. The run may be going on, finished or broken.
Several runs give one page that compares them with the first.
"""

import argparse
import time
from contextlib import suppress
from pathlib import Path

from efn_compose.analysis.page.compare import write_comparison
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
    parser.add_argument(
        "--port", type=int, default=0, help="port for --serve (default: any free one)"
    )
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="pace of --follow (default: 5)"
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """Draw, compare, follow or serve."""
    if not options.every >= 0.1:
        raise ConfigError(f"--every must be at least 0.1 seconds. Received: {options.every}.")
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port must lie in 0 to 65535. Received: {options.port}.")
    paths = [Path(path) for path in options.runs]
    stories = [str(path) for path in paths if is_story(path)]
    if stories and (options.serve or options.follow or len(paths) > 1):
        raise ConfigError(
            f"{', '.join(stories)}: a pipeline, which draws its page anew after each chapter. Name it "
            "alone, without --follow and --serve; its stages' folders are runs that can be followed."
        )
    if options.serve:
        _serve(options, output, paths)
    elif options.follow:
        _follow(options, output, paths)
    else:
        path = _write(options, paths)
        output.result({"report": str(path)}, str(path))


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
    page = LivePage(paths, max(1, round(options.every)))
    # Drawn once before the address is given out, so that a wrong folder is an error here.
    page.render()
    server = make_server(page, options.port)
    address = f"http://{LOOPBACK}:{server.server_address[1]}/"
    output.result({"address": address}, f"{address}  (Ctrl-C ends it)")
    try:
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    finally:
        server.server_close()


def _follow(options: argparse.Namespace, output: Output, paths: list[Path]) -> None:
    page = LivePage(paths, max(1, round(options.every)))
    default = paths[0] / (REPORT_FILE if len(paths) == 1 else "comparison.html")
    path = Path(options.output) if options.output else default
    output.result({"report": str(path)}, f"{path}  (Ctrl-C ends following)")
    drawn: object = None
    with suppress(KeyboardInterrupt):
        while not page.is_finished:
            state = page.state()
            if state != drawn:
                write_text(path, page.render())
                drawn = state
            else:
                time.sleep(options.every)
