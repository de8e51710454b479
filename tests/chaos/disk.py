"""A file system of its own that becomes read-only while it is used, as one does whose disk fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

MEGABYTES = 256
PROGRAMS = ("mkfs.ext4", "e2fsck", "mount", "umount")


def reason_against() -> str | None:
    """Return why there can be no such disk here; None if there can."""
    if os.geteuid() != 0:
        return "only root may mount"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"there is no {missing[0]}"
    with tempfile.TemporaryDirectory() as name:
        try:
            Disk(Path(name) / "image", Path(name)).unmount()
        except subprocess.CalledProcessError as error:
            return " ".join(error.stderr.decode().split())
    return None


class Disk:
    """An ext4 file system in a file, mounted.

    Args:
        image: File to make.
        folder: Empty folder to mount it on.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder
        with image.open("wb") as file:
            file.truncate(MEGABYTES << 20)
        _call("mkfs.ext4", "-q", "-F", str(image))
        self._mount()

    def _mount(self) -> None:
        _call("mount", "-o", "loop", str(self._image), str(self._folder))

    def fail(self) -> None:
        """Let the kernel remount it read-only, though files are open for writing; `remount,ro` would be refused."""
        _call("mount", "-o", "remount,abort", str(self._folder))

    def mend(self) -> None:
        """Check it, as after a failure, and mount it again; no process may use it."""
        _call("umount", str(self._folder))
        checked = _call("e2fsck", "-f", "-y", str(self._image), is_checked=False)
        assert checked.returncode in (0, 1), checked.stderr  # 1: it was repaired
        self._mount()

    def unmount(self) -> None:
        """Take it away for good, though this process may have files open."""
        _call("umount", "--lazy", str(self._folder))


def _call(*words: str, is_checked: bool = True) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, check=is_checked, capture_output=True)
