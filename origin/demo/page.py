"""The demo's page in a terminal: where everything is, the newest segments and why, the totals, what to try."""

import asyncio
import contextlib
from functools import partial
from typing import Final, Self

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from origin.demo import media
from origin.demo.board import Board, Cell, Line, Mood, clock_text
from origin.demo.lines import hints, now_ms, summary_lines
from origin.demo.outlet import Outlet
from origin.demo.reports import PackagerEnded, Report, Started, Summary
from origin.demo.tally import Counts, Tally
from selection.model import Rule

# Fast enough to see a request being held, slow enough to cost nothing.
REFRESH_S: Final = 0.25
ROWS_MAX: Final = 12
ROWS_MIN: Final = 3
# In fewer columns, what can be spared is left out.
WIDE_COLUMNS: Final = 120
# What stands above and below the rows; on a narrow page some of it takes two lines.
OTHER_LINES: Final = 16
OTHER_LINES_NARROW: Final = 18

_STYLES: Final = {Mood.PENDING: "dim", Mood.GOOD: "green", Mood.DOUBTFUL: "yellow", Mood.BAD: "bold red"}
_PIPELINE_STYLES: Final = {"a": "bold cyan", "b": "bold magenta"}


class Page:
    """Shows reports as a page that renews itself.

    Args:
        console: The terminal.
        outlet: Draws it.
    """

    def __init__(self, console: Console, outlet: Outlet) -> None:
        self._console = console
        self._outlet = outlet
        self._board = Board()
        self._tally = Tally()
        self._ended: list[PackagerEnded] = []
        self._summary: Summary | None = None
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._refresher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._outlet.submit(self._live.start)
        self._refresher = asyncio.create_task(self._refresh())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._refresher is not None:
            self._refresher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refresher
        self._draw(is_last=True)
        self._outlet.submit(self._live.stop)
        for report in self._ended:
            text = f"packager {report.pipeline} ended by itself with status {report.status}:\n{report.stderr}"
            self._outlet.submit(partial(self._console.print, text, style="red", markup=False))
        if self._summary is not None:
            self._outlet.submit(partial(self._console.print, summary_text(self._summary)))
        await self._outlet.close()

    def note(self, report: Report) -> None:
        """Take it in; the next renewal shows it."""
        self._board.note(report)
        self._tally.note(report)
        if isinstance(report, PackagerEnded):
            self._ended.append(report)
        if isinstance(report, Summary):
            self._summary = report

    async def _refresh(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(REFRESH_S)

    def _draw(self, *, is_last: bool = False) -> None:
        # A terminal that does not keep up misses pages, not segments.
        if self._outlet.is_idle or is_last:
            page = render(self._board, self._tally, self._console.size, now_ms())
            self._outlet.submit(partial(self._live.update, page, refresh=True))


def render(board: Board, tally: Tally, size: ConsoleDimensions, at_ms: int) -> RenderableType:
    """Return the page as it reads at `at_ms` on a terminal of `size`."""
    if board.started is None:
        return Text("Live Origin demo: starting origin, packagers and reader ...", style="bold")
    is_wide = size.width >= WIDE_COLUMNS
    rows = size.height - (OTHER_LINES if is_wide else OTHER_LINES_NARROW)
    lines = board.lines(min(max(rows, ROWS_MIN), ROWS_MAX), at_ms)
    return Group(
        _head(board, board.started, at_ms, is_wide=is_wide),
        _table(lines, size.width),
        _totals(tally.counts()),
        "",
        _hints(board.started, is_wide=is_wide),
        # The terminal echoes Ctrl-C where the page ends; at the end of a full line that would wrap and shift it.
        "",
    )


def _head(board: Board, started: Started, at_ms: int, *, is_wide: bool) -> RenderableType:
    up_s = max(at_ms - media.start_ms(started.first_number), 0) // 1000
    state = f"stopping ({board.stopping}), last segments" if board.stopping else "Ctrl-C stops"
    title = Table.grid(expand=True)
    title.add_column()
    title.add_column(justify="right")
    title.add_row(
        Text(f"Live Origin demo{': two epoch-locked packagers, one origin, one reader' * is_wide}", style="bold"),
        Text(f"up {up_s // 60}:{up_s % 60:02d}   {clock_text(at_ms)[:8]} UTC   {state}", style="dim"),
    )
    places = Text.from_markup(
        f"[dim]publish[/] {started.publish}/{media.EVENT_ID}/   [dim]deliver[/] {started.deliver}/{media.EVENT_ID}/"
        f"   [dim]admin[/] {started.admin}/metrics"
    )
    packagers = Text("   ").join(
        Text.assemble((f"{each} ", _PIPELINE_STYLES[each]), (cell.text, _STYLES[cell.mood]))
        for each, cell in board.states.items()
    )
    faults = Text(f"faults on purpose: {', '.join(started.faults) or 'none (see --kill, --drop, --late, --garble)'}")
    faults.stylize("yellow" if started.faults else "dim")
    return Group(title, places, Text("   ").join([packagers, faults]), "")


def _table(lines: list[Line], columns: int) -> Table:
    is_wide = columns >= WIDE_COLUMNS
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2 if is_wide else 1, 0, 0))
    table.add_column("segment", no_wrap=True)
    table.add_column("media (UTC)" if is_wide else "media", no_wrap=True)
    for each in media.PIPELINE_IDS:
        heading = f"{each}, to due" if is_wide else each
        table.add_column(heading, justify="right", no_wrap=True, width=12 if is_wide else 8)
    table.add_column("chosen" if is_wide else "", no_wrap=True, width=6 if is_wide else 1)
    # What the other columns and the gaps leave; rich would else shorten them all alike.
    why_width = min(max(columns - (95 if is_wide else 62), 14), 44)
    table.add_column(
        "by rule, the other lost as" if is_wide else "by rule", no_wrap=True, overflow="ellipsis", width=why_width
    )
    if is_wide:
        table.add_column("in", justify="right", no_wrap=True)
    table.add_column("delivered", no_wrap=True, width=20)
    for line in lines:
        table.add_row(
            str(line.number),
            line.media_time if is_wide else line.media_time[:8],
            *(_cell(cell) for cell in line.copies.values()),
            _chosen(line.chosen),
            Text(
                f"{line.rule}{line.losses}" if is_wide else line.rule,
                style="dim" if line.rule == Rule.FIRST_IN_ORDER else "yellow",
            ),
            *([line.decision] if is_wide else []),
            _cell(line.delivered),
        )
    return table


def _cell(cell: Cell) -> Text:
    return Text(cell.text, style=_STYLES[cell.mood])


def _chosen(cell: Cell) -> Text:
    words = [Text(word, style=_PIPELINE_STYLES.get(word, "dim")) for word in cell.text.split()]
    return Text(" ").join(words)


def _totals(counts: Counts) -> Text:
    missing = counts.missed.total() + counts.damaged
    parts = [
        Text.assemble("delivered ", (str(counts.delivered.total()), "bold green")),
        *(
            Text.assemble("from ", (f"{each} {counts.delivered[each]}", _PIPELINE_STYLES[each]))
            for each in media.PIPELINE_IDS
        ),
        Text.assemble("late ", (str(counts.late), "yellow" if counts.late else "bold green")),
        Text.assemble("missing ", (str(missing), "bold red" if missing else "bold green")),
    ]
    if counts.garbled:
        style = "bold red" if counts.garbage_delivered else "bold green"
        parts.append(Text.assemble("garbage ", (f"{counts.garbage_delivered}/{counts.garbled.total()}", style)))
    return Text.assemble("\n", Text("   ").join(parts))


def _hints(started: Started, *, is_wide: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    commands = list(hints(started))
    for label, text in commands if is_wide else commands[:2]:
        table.add_row(label, escape(text))
    table.add_row("configuration", escape(started.config))
    if started.log is not None:
        table.add_row("log", escape(started.log))
    return table


def summary_text(summary: Summary) -> Text:
    """Return the summary for a terminal."""
    first, *rest = summary_lines(summary)
    return Text.assemble(
        "\n", (first, "bold red" if summary.exit_status else "bold green"), *(f"\n{each}" for each in rest)
    )
