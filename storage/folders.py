"""Names in folders: a file that was flushed is still lost in a power cut if its folder was not."""

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    """Make the names in `path` survive a power cut: of new files and folders, and of renamed ones. Blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
