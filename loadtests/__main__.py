"""`make load`: start an origin unless one is named, load it, judge it, and leave a report.

    python -m loadtests                                    an origin of its own, all shapes, two minutes
    python -m loadtests --shape origin-storm --seconds 60
    python -m loadtests --host URL --publish URL --event ID --renditions IDS --pipelines IDS --segment-ms N

What it does not know itself it hands to locust. The exit status is 0 when no threshold was crossed, 1 when one was,
2 when nothing could be measured. SIGINT and SIGTERM end a run early; it is judged all the same.
"""

import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.options import add_options, plan_of
from loadtests.origin_process import ROOT, OriginProcess, StartError

_FILES = ("load.html", "summary.txt", "load_thresholds.csv", "load_stats.csv", "load_failures.csv", "origin.log")
# Starting, publishing the history, stopping: a run that takes longer hangs, and has failed.
_BESIDE_S_MAX = 60
_STOP_S_MAX = 30


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = ArgumentParser("loadtests", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--host", default="", help="base URL to load; without it, an origin is started")
    parser.add_argument("--workers", type=int, default=1, help="deliver processes of that origin (default: 1)")
    given = sys.argv[1:] if arguments is None else arguments
    options, _ = parser.parse_known_args(given)
    if options.publish and not options.host:
        parser.error("--publish is of no use without --host")
    folder = Path(options.report).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        # A report of an earlier run must not pass for this one's.
        (folder / name).unlink(missing_ok=True)
    what = options.host or "an origin of its own"
    _say(f"Loading {what}: {options.shape}, {plan_of(options).seconds:.0f} s. Ctrl-C ends it early, with a report.")
    run = _locust if options.host else _with_own_origin
    status = run(given, options, folder)
    _tell(folder, status)
    return status


def _with_own_origin(given: list[str], options: Namespace, folder: Path) -> int:
    with TemporaryDirectory(prefix="live-origin-load-") as data:
        try:
            origin = OriginProcess(options, Path(data), folder / "origin.log")
        except StartError as exc:
            _say(f"the origin did not start:\n{exc}")
            return 2
        try:
            options.host, options.publish = origin.deliver, origin.publish
            status = _locust([*_without_workers(given), "--publish", origin.publish], options, folder)
        finally:
            stopped = origin.stop()
    if stopped:
        with (folder / "summary.txt").open("a") as file:
            file.write(f"  CROSSED the origin ended with status {stopped}, see origin.log\n")
    return status or int(stopped != 0)


def _locust(given: list[str], options: Namespace, folder: Path) -> int:
    """Run locust to its end. Signals that end this process reach it once, as the one that makes it write its report."""
    command = [
        *(sys.executable, "-m", "locust", "--locustfile", "loadtests/locustfile.py"),
        *("--headless", "--only-summary", "--loglevel", "WARNING"),
        *_without_workers(given),
        *("--report", str(folder), "--host", options.host),
        *("--html", str(folder / "load.html"), "--csv", str(folder / "load")),
        *(["Client", "Packager"] if options.publish else ["Client"]),
    ]
    with (folder / "locust.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        is_told = False

        def end(*_: object) -> None:
            nonlocal is_told
            process.send_signal(signal.SIGKILL if is_told else signal.SIGINT)
            is_told = True

        handlers = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            status = process.wait(plan_of(options).seconds + _BESIDE_S_MAX)
        except subprocess.TimeoutExpired:
            end()
            status = max(process.wait(_STOP_S_MAX), 1)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    if not (folder / "summary.txt").exists():
        _say((folder / "locust.log").read_text())
        return 2
    return status


def _tell(folder: Path, status: int) -> None:
    """Print the summary and put it on top of the HTML report."""
    summary, page = folder / "summary.txt", folder / "load.html"
    verdict = {0: "All thresholds were kept.", 1: "THRESHOLDS WERE CROSSED."}.get(status, "Nothing was measured.")
    text = f"{summary.read_text() if summary.exists() else ''}{verdict}\n"
    summary.write_text(text)
    if page.exists():
        html = page.read_text()
        page.write_text(html.replace("<body>", f"<body>\n<pre>{escape(text)}</pre>", 1))
    _say(f"{text}Report: {folder}")


def _without_workers(given: list[str]) -> list[str]:
    """Leave out the one option that locust must not see."""
    parser = ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--workers")
    return parser.parse_known_args(given)[1]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
