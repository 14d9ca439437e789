"""The folders of bodies: `{event}/{bucket}/` with files in them, beside folders of the store's own.

Everything here blocks. Names that begin with a dot are the store's own: ids of events do not.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from storage.base import BodyKey, Removed, is_intact

# Bodies on their way in; what lies here at a start was left by a crash.
INCOMING_FOLDER: Final = ".incoming"
# Damaged bodies, for whoever wants to find out what happened to them.
DAMAGED_FOLDER: Final = ".damaged"
# Bodies of which a damaged journal knows nothing, for an operator to look through.
UNRECORDED_FOLDER: Final = ".unrecorded"
# Names of events and buckets; those that begin with a dot are the store's own.
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# 100 segments of 4 MB: enough to see a pattern, little enough to forget about.
DAMAGED_FILES_MAX: Final = 100
# What file systems allow, in bytes; the end of a key, which is the digest, is what counts.
_NAME_LENGTH_MAX: Final = 255


def list_bodies(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each bucket's folder, as `{event}/{bucket}`, and the names of the files in it, without a look at these."""
    for event_id in _folders_of(root):
        for bucket in _folders_of(root / event_id):
            yield f"{event_id}/{bucket}", os.listdir(root / event_id / bucket)


def remove_files(root: Path, keys: Iterable[BodyKey]) -> int:
    """Remove bodies; returns how many were there."""
    files_count = 0
    for key in keys:
        with suppress(OSError):
            os.unlink(root / key)
            files_count += 1
            os.rmdir((root / key).parent)  # if it was the last one in it
    return files_count


def keep_apart(root: Path, keys: Iterable[BodyKey]) -> int:
    """Move bodies to a folder of their own, where nothing is ever removed; returns how many were moved."""
    apart = root / UNRECORDED_FOLDER
    files_count = 0
    for key in keys:
        with suppress(OSError):
            apart.mkdir(exist_ok=True)
            os.rename(root / key, apart / key.replace("/", "~")[-_NAME_LENGTH_MAX:])
            files_count += 1
    return files_count


def remove_bucket(folders: Iterable[Path], files_count_max: int) -> Removed:
    """Remove up to so many files, then the folders once they are empty, and those above them that are."""
    files_count = size_bytes = 0
    for folder in folders:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if files_count == files_count_max:
                    return Removed(files_count, size_bytes, is_done=False)
                with suppress(FileNotFoundError):
                    entry_bytes = entry.stat(follow_symlinks=False).st_size
                    os.unlink(entry.path)
                    files_count += 1
                    size_bytes += entry_bytes
    return Removed(files_count, size_bytes, is_done=all(_remove_folder(folder) for folder in folders))


def set_aside(root: Path, key: BodyKey) -> bool:
    """Move a damaged body out of the way; False if it is not damaged. Never fails: what cannot be moved stays."""
    path, folder = root / key, root / DAMAGED_FOLDER
    aside = folder / key.replace("/", "~")[-_NAME_LENGTH_MAX:]
    inode = None
    with suppress(OSError), open(path, "rb") as file:
        inode = os.fstat(file.fileno()).st_ino
        if is_intact(key, file.read()):
            return False
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        os.rename(path, aside)
        if aside.stat().st_ino != inode is not None:
            os.rename(aside, path)  # it was sent again and written anew since it was looked at
            return False
        _keep_newest(folder)
    return True


def _keep_newest(folder: Path) -> None:
    """Renaming a file changes its status, so that tells when it came here."""
    with os.scandir(folder) as entries:
        by_age = sorted((entry.stat().st_ctime_ns, entry.path) for entry in entries)
    for _, path in by_age[:-DAMAGED_FILES_MAX]:
        os.unlink(path)


def _folders_of(folder: Path) -> list[str]:
    """Return the folders in one, without those that cannot be ours, such as `lost+found`."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if _IDENTIFIER.fullmatch(entry.name) and entry.is_dir()]


def _remove_folder(folder: Path) -> bool:
    """Remove a folder and, if it was the last one in it, the event's. False if a body came into it meanwhile."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    with suppress(OSError):
        os.rmdir(folder.parent)
    return True
