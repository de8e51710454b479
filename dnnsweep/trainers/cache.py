"""Where compiled programs are kept between runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path


def cache(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of compiled programs, created if need be; None if there can be none.

    There is one for each version of TensorFlow and kind of processor, since programs fit no other.

    Args:
        environ: Read for `DNNSWEEP_CACHE`, else `XDG_CACHE_HOME`, else `HOME`; an empty `DNNSWEEP_CACHE` means none.
    """
    chosen = environ.get("DNNSWEEP_CACHE")
    if chosen == "":
        return None
    with suppress(OSError, RuntimeError):
        folder = Path(chosen) if chosen else Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dnnsweep"
        folder = folder.absolute() / f"xla-{version('tensorflow')}-{platform.machine()}-{_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return None


def _processor() -> str:
    """Return a short name of the processor's instruction set."""
    import zlib

    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
        return f"{zlib.crc32(flags.encode()):08x}"
    return platform.processor() or "any"
