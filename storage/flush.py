"""Group commit: files that are written at the same time are made durable, and get their names, together.

While one batch is being flushed the next one gathers; so there is one batch in flight, whatever the number of
uploads, and each folder is flushed once a batch instead of once a body. The files of a batch are flushed side by
side, because file systems let flushes that wait together share a commit of their journal; one after the other,
each would wait for one of its own. Rejected: `syncfs`, one call for everything, which waits for what all other
programs on the disk have written as well.

A file gets its name only when all files of its batch are flushed: after a failed flush nobody knows what is on
the device, so the whole batch fails and its packagers send it again.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from storage.folders import sync_folder

# As many flushes wait together. More gain nothing: a device has one cache to flush.
_FLUSHES_COUNT: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A file that holds a whole body and is to get its name.

    Args:
        temporary, final: Paths, now and then.
        descriptor: Open, to be flushed and closed; None if that was done.
    """

    temporary: str
    final: str
    descriptor: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Pending:
    written: Written
    outcome: Future[None] = field(default_factory=Future)


def give_name(temporary: str, final: str, made: Callable[[Path], None] = lambda _: None) -> None:
    """Rename a file into a folder, which is made if it is not there; it takes less to try than to look.

    Args:
        made: Told of the folder when it was not there.
    """
    try:
        os.rename(temporary, final)
    except FileNotFoundError:
        folder = Path(final).parent
        folder.mkdir(parents=True, exist_ok=True)
        made(folder)
        os.rename(temporary, final)


def remove_quietly(path: str | Path) -> None:
    """Remove a file if that is possible; on a disk that cannot be written it may not be."""
    with suppress(OSError):
        os.unlink(path)


class GroupCommit:
    """Makes written files durable in batches. `add` may be called in any thread.

    Args:
        root: The folder of all bodies: folders below it are made durable with their names, up to its own.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._leader = ThreadPoolExecutor(1, thread_name_prefix="bodies-commit")
        self._flushers = ThreadPoolExecutor(_FLUSHES_COUNT, thread_name_prefix="bodies-flush")
        self._lock = threading.Lock()
        self._gathered: list[_Pending] = []
        self._is_running = False
        # Folders whose own names are known to be durable.
        self._durable: set[Path] = set()
        self.batches_count = 0

    def add(self, written: Written) -> Future[None]:
        """Return what is done when the file has its name for good, or is gone again with an OSError."""
        pending = _Pending(written)
        pending.outcome.set_running_or_notify_cancel()  # whoever stops waiting does not stop the commit
        with self._lock:
            self._gathered.append(pending)
            if not self._is_running:
                self._leader.submit(self._run)
                self._is_running = True
        return pending.outcome

    def forget(self, folder: Path) -> None:
        """Note that a folder is about to be removed."""
        self._durable.discard(folder)

    def close(self) -> None:
        """Wait until everything added is committed."""
        self._leader.shutdown(wait=True)
        self._flushers.shutdown(wait=True)

    def _run(self) -> None:
        while True:
            with self._lock:
                batch, self._gathered = self._gathered, []
                self._is_running = bool(batch)
            if not batch:
                return
            self.batches_count += 1
            try:
                self._commit(batch)
            except Exception as exc:  # noqa: BLE001  # raised where its bodies are waited for
                for pending in batch:
                    if not pending.outcome.done():
                        pending.outcome.set_exception(exc)

    def _commit(self, batch: Sequence[_Pending]) -> None:
        try:
            descriptors = [pending.written.descriptor for pending in batch]
            self._flush_files([descriptor for descriptor in descriptors if descriptor is not None])
        except OSError as exc:
            _fail(batch, exc)
            return
        named, undo = [], []
        for pending in batch:
            written = pending.written
            was_there = os.path.lexists(written.final)
            try:
                give_name(written.temporary, written.final, self._durable.discard)
            except OSError as exc:
                _fail([pending], exc)
                continue
            named.append(pending)
            if not was_there:  # the same bytes may lie here for a record that was promised long ago
                undo.append(written.final)
        try:
            for folder in dict.fromkeys(Path(pending.written.final).parent for pending in named):
                with suppress(FileNotFoundError):  # it was collected meanwhile, and what was in it with it
                    self._flush_folder(folder)
        except OSError as exc:
            for path in undo:
                remove_quietly(path)
            _fail(named, exc)
            return
        for pending in named:
            pending.outcome.set_result(None)

    def _flush_files(self, descriptors: Sequence[int]) -> None:
        """Flush and close files; raises one of the faults after all flushes have ended."""
        try:
            if len(descriptors) == 1:
                os.fdatasync(descriptors[0])
                return
            flushes = [self._flushers.submit(os.fdatasync, descriptor) for descriptor in descriptors]
            wait(flushes)
            for flush in flushes:
                flush.result()
        finally:
            for descriptor in descriptors:
                with suppress(OSError):  # its bytes are flushed, or its batch has failed
                    os.close(descriptor)

    def _flush_folder(self, folder: Path) -> None:
        """Make the names in a folder durable, and once its own and those of the folders above it."""
        sync_folder(folder)
        if folder in self._durable:
            return
        above = folder
        while above != self._root.parent:
            above = above.parent
            sync_folder(above)
        self._durable.add(folder)


def _fail(pendings: Sequence[_Pending], fault: OSError) -> None:
    for pending in pendings:
        remove_quietly(pending.written.temporary)
        pending.outcome.set_exception(fault)
