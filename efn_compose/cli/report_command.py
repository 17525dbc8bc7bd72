"""The verb `efn-compose report`: draw, compare, follow, serve."""

import argparse
import json
import sys
import time
from pathlib import Path

from efn_compose.analysis.page.compare import write_comparison
from efn_compose.analysis.page.report import write_report
from efn_compose.analysis.page.report_server import LOOPBACK, LivePage, make_server
from efn_compose.errors import ConfigError
from efn_compose.store import write_text
from efn_compose.store.run_folder import REPORT_FILE

EXAMPLES = """examples:
  efn-compose report runs/quickstart                     draw report.html again
  efn-compose report runs/quickstart --follow --serve    watch a run in the browser
  efn-compose report runs/first runs/second              side by side
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["runs/first", "--follow"]).follow
        True
    """
    parser.description = (
        "Draw a run's report.html from its folder alone; the run may be going on, finished or "
        "broken. Several runs give one page that compares them, the first being the reference."
    )
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="page to write (default: report.html in the run folder, comparison.html in the first)",
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


def run(args: argparse.Namespace) -> int:
    """Draw, compare, follow or serve, and return the exit code.

    Raises:
        RunError: A folder is no run, or a page cannot be written or served.
        ConfigError: A number makes no sense.
    """
    if not args.every >= 0.1:
        raise ConfigError(f"--every must be at least 0.1 seconds. Received: {args.every}.")
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"--port must lie in 0 to 65535. Received: {args.port}.")
    paths = [Path(path) for path in args.runs]
    if args.serve:
        return _serve(args, paths)
    if args.follow:
        return _follow(args, paths)
    path = _write_to(args, paths) if len(paths) > 1 or args.output else write_report(paths[0])
    _say(args, {"report": str(path)}, str(path))
    return 0


def _write_to(args: argparse.Namespace, paths: list[Path]) -> Path:
    if len(paths) > 1:
        return write_comparison(paths, args.output)
    path = Path(args.output)
    write_text(path, LivePage(paths, 0).render())
    return path


def _serve(args: argparse.Namespace, paths: list[Path]) -> int:
    page = LivePage(paths, max(1, round(args.every)))
    # Drawn once before the address is given out, so that a wrong folder is an error here.
    page.render()
    server = make_server(page, args.port)
    address = f"http://{LOOPBACK}:{server.server_address[1]}/"
    _say(args, {"address": address}, f"{address}  (Ctrl-C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0


def _follow(args: argparse.Namespace, paths: list[Path]) -> int:
    page = LivePage(paths, max(1, round(args.every)))
    default = paths[0] / (REPORT_FILE if len(paths) == 1 else "comparison.html")
    path = Path(args.output) if args.output else default
    _say(args, {"report": str(path)}, f"{path}  (Ctrl-C ends following)")
    drawn: object = None
    try:
        while not page.is_finished:
            state = page.state()
            if state != drawn:
                write_text(path, page.render())
                drawn = state
            else:
                time.sleep(args.every)
    except KeyboardInterrupt:
        return 0
    return 0


def _say(args: argparse.Namespace, fields: dict[str, str], words: str) -> None:
    if getattr(args, "json", False):
        sys.stdout.write(json.dumps(fields) + "\n")
    elif not getattr(args, "quiet", False):
        sys.stdout.write(words + "\n")
    sys.stdout.flush()
