"""A report that follows its run: the page on loopback, drawn again when the run has moved."""

import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from efn_compose.analysis.page.compare import render_comparison
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import DATA_FILE, DONORS_FILE, read_run
from efn_compose.errors import EfnComposeError, RunError
from efn_compose.store.run_folder import CONFIG_FILE, JOURNAL_FILE, LOCK_FILE, RESULT_FILE

LOOPBACK = "127.0.0.1"
#: Names by which a browser on this machine may ask; any other is a page of a stranger that
#: made its own name point here.
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_WATCHED = (CONFIG_FILE, JOURNAL_FILE, RESULT_FILE, DONORS_FILE, DATA_FILE, LOCK_FILE)


class LivePage:
    """The page of one run, or of several, as of now.

    Args:
        run_paths: Run folders; more than one gives the comparison.
        refresh_seconds: Seconds after which the page of an unfinished run reloads itself.
    """

    def __init__(self, run_paths: Sequence[Path], refresh_seconds: int) -> None:
        self._paths, self._refresh = list(run_paths), refresh_seconds
        self._state: object = None
        self._page = ""
        self._lock = threading.Lock()
        self.is_finished = False

    def render(self) -> str:
        """Return the page; drawn anew only where a file of a run has changed.

        Raises:
            RunError: A folder is no run (any more).
        """
        with self._lock:
            state = self.state()
            if state != self._state:
                runs = [read_run(path) for path in self._paths]
                self.is_finished = all(run.status == "finished" for run in runs)
                refresh = 0 if self.is_finished else self._refresh
                if len(runs) == 1:
                    self._page = render_report(runs[0], refresh_seconds=refresh)
                else:
                    self._page = render_comparison(runs, refresh_seconds=refresh)
                self._state = state
            return self._page

    def state(self) -> object:
        """Return what tells whether anything has changed."""
        found: list[tuple[int, int] | None] = []
        for path in self._paths:
            for name in _WATCHED:
                try:
                    status = (path / name).stat()
                    found.append((status.st_mtime_ns, status.st_size))
                except OSError:
                    found.append(None)
        return found


def make_server(page: LivePage, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of one page that only this machine can reach.

    Args:
        page: The page to serve.
        port: 0 takes a free one; `server.server_address[1]` says which.

    Raises:
        RunError: The port is taken.
    """
    try:
        return ThreadingHTTPServer((LOOPBACK, port), _handler(page.render))
    except OSError as error:
        raise RunError(
            f"Port {port} on {LOOPBACK} cannot be used ({error.strerror}). Choose another one "
            "with --port, or 0 for any free one."
        ) from None


def _handler(render: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers `/` with the page and everything else with nothing."""

        server_version = "efn_compose"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer a GET request."""
            host = self.headers.get("Host", "")
            if host.rpartition(":")[0] not in _HOSTS and host not in _HOSTS:
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", "Only for this machine.")
            elif self.path.partition("?")[0] == "/favicon.ico":
                self._answer(HTTPStatus.NO_CONTENT, "image/x-icon", "")
            elif self.path.partition("?")[0] != "/":
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There is only /.")
            else:
                try:
                    self._answer(HTTPStatus.OK, "text/html", render())
                except EfnComposeError as error:
                    self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", str(error))

        def do_HEAD(self) -> None:
            """Answer a HEAD request: the same without the page."""
            self.do_GET()

        def _answer(self, status: HTTPStatus, kind: str, content: str) -> None:
            body = content.encode("utf-8", "replace")
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing; the terminal belongs to the user."""

    return Handler
