"""The tokens that a service accepts at the moment: a file of them is read again when it has changed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dnnsweep.errors import SettingsError
from dnnsweep.service.tokens import Token, check_secrets, find_token, read_file, tokens

log: Final = logging.getLogger(__name__)
#: How often the file is looked at, at most.
LOOK_SECONDS: Final = 1.0


class TokenList:
    """Tokens that do not change while the service runs, and those of a file, which may.

    A file that has become wrong or cannot be read any more changes nothing: the tokens that it held before stay, and
    the log says why. Not for several threads at once.

    Args:
        fixed: Tokens that do not change.
        file: File of further tokens; None for none.
        clock: Returns seconds that never go back.
        now: Returns the present moment, by which tokens expire.

    Attributes:
        error: Why the file cannot be used as it is now; None if it is in use.

    Raises:
        SettingsError: The file is wrong or cannot be read, or a secret is there twice.
    """

    def __init__(
        self,
        fixed: Sequence[Token],
        file: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
    ) -> None:
        self._fixed = tuple(fixed)
        self._file = file
        self._clock = clock
        self._now = now
        self._looked_at = clock()
        self._signature = _signature(file)
        self._tokens = self._read()
        self.error: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> TokenList:
        """Return the tokens of the environment.

        Args:
            environ: Environment variables; read are `DNNSWEEP_TOKENS` and `DNNSWEEP_TOKENS_FILE`.

        Raises:
            SettingsError: One of them is wrong.
        """
        file = environ.get("DNNSWEEP_TOKENS_FILE")
        return cls(tokens(environ), Path(file).expanduser().absolute() if file else None)

    @property
    def is_open(self) -> bool:
        """Return whether nobody needs a token."""
        return not self._fixed and self._file is None

    def find(self, secret: str) -> Token | None:
        """Return the token that has a secret, even if it has expired; None if there is none."""
        self._look()
        return find_token(self._tokens, secret)

    def has_expired(self, token: Token) -> bool:
        """Return whether a token is past its last moment."""
        return token.has_expired(self._now())

    def accepts(self, token: Token | None) -> bool:
        """Return whether a request that was let in with a token, or without one, would be let in now."""
        self._look()
        return self.is_open if token is None else token in self._tokens and not self.has_expired(token)

    def _look(self) -> None:
        """Read the file again if it has changed since it was looked at last."""
        if self._file is None or self._clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        signature = _signature(self._file)  # before it is read: what changes meanwhile is seen the next time
        if signature == self._signature and self.error is None:
            return
        try:
            self._tokens = self._read()
        except SettingsError as error:
            self._report(str(error))
        else:
            self.error = None
            log.warning("the tokens were read again: %d are accepted", len(self._tokens))
        self._signature = signature

    def _report(self, error: str) -> None:
        if error != self.error:
            log.error("%s; the tokens that were read before stay accepted", error)
        self.error = error

    def _read(self) -> tuple[Token, ...]:
        return check_secrets((*self._fixed, *(() if self._file is None else read_file(self._file))))


def _signature(file: Path | None) -> tuple[int, ...] | None:
    """Return what changes whenever a file is written or replaced; None if there is no such file."""
    try:
        status = None if file is None else file.stat()
    except OSError:
        return None
    return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
