"""Where compiled programs are kept between runs."""

from __future__ import annotations

import os
import platform
import zlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from dnnsweep.settings import cache_folder


def make_program_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Create the folder of compiled programs unless it exists, and return it; None where none can be created.

    There is one for each version of TensorFlow and kind of processor, because programs fit no other.

    Args:
        environ: Environment variables that name the cache folder, as `settings.cache_folder` reads them.
    """
    folder = cache_folder(environ)
    if folder is None:
        return None
    programs = folder / f"xla-{version('tensorflow')}-{platform.machine()}-{_processor()}"
    with suppress(OSError):
        programs.mkdir(parents=True, exist_ok=True)
        return programs
    return None


def _processor() -> str:
    """Return a short name of the processor's instruction set."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
        return f"{zlib.crc32(flags.encode()):08x}"
    return platform.processor() or "any"
