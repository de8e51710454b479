"""Files below a folder, opened so that what is checked is what was opened."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: Opening a pipe must not wait for who writes to it.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: What systems answer where a link is not followed, or a part of a path is no folder.
_NO_SUCH_PART: Final = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.ENXIO)


def real_path_below(folder: Path, name: str) -> Path:
    """Return the path of a file relative to a folder, both with all links followed.

    Args:
        folder: Folder that the file must be in; it may be a link itself.
        name: Path of the file; a relative one starts in the folder.

    Raises:
        FileNotFoundError: The file would not be below the folder; whether it exists is not said.
    """
    try:
        return Path(os.path.realpath(folder / name)).relative_to(os.path.realpath(folder))
    except ValueError:  # it is elsewhere, or its name holds a null character
        raise FileNotFoundError("there is no such file below the folder") from None


def open_below(folder: Path, name: str) -> BinaryIO:
    """Open a regular file below a folder for reading.

    Links are followed first, by name. Then the file is opened from the folder downwards, one part of its path after the
    other, and no link is followed on this way: what was put in a part's place meanwhile is refused if it is a link.
    Links that lead from the folder to a file in it are therefore allowed.

    Args:
        folder: Folder that the file must be in; it may be a link itself.
        name: Path of the file; a relative one starts in the folder.

    Raises:
        FileNotFoundError: There is no such file below the folder.
        OSError: It cannot be read.
    """
    parts = real_path_below(folder, name).parts
    descriptor = os.open(os.path.realpath(folder), _FOLDER)
    for index, part in enumerate(parts, 1):
        descriptor = _open_part(descriptor, part, _FILE if index == len(parts) else _FOLDER)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError("there is no regular file of this name below the folder")
    return os.fdopen(descriptor, "rb")


def _open_part(parent: int, part: str, flags: int) -> int:
    """Open what a folder holds under a name, unless it is a link, and close the folder."""
    try:
        return os.open(part, flags | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in _NO_SUCH_PART:
            raise FileNotFoundError("there is no such file below the folder") from None
        raise
    finally:
        os.close(parent)
