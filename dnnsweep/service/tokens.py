"""Tokens: their names, secrets and last days, as the operator writes them."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from dnnsweep.errors import SettingsError
from dnnsweep.settings import is_sendable

WRITE: Final = "rw"
#: The most characters in the name of a token, which the ledger keeps.
MAX_NAME: Final = 100
#: The most bytes of a file of tokens.
MAX_FILE_BYTES: Final = 1_000_000
_ENTRY: Final = re.compile(
    r"(?P<name>[^:]+):(?P<secret>.+):(?P<access>ro|rw)(?::(?P<until>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?Z)?))?"
)
_FORM: Final = (
    f"NAME:SECRET:rw or NAME:SECRET:ro, with :YYYY-MM-DD behind it for its last day, names of at most {MAX_NAME} "
    "printable characters and secrets of visible ASCII characters"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the service accepts.

    Args:
        name: Name of its owner.
        secret: Secret that requests send.
        may_write: Whether its owner may change anything.
        expires_at: Moment from which on the token is refused; None for never.
    """

    name: str
    secret: str = field(repr=False)
    may_write: bool
    expires_at: datetime | None = None

    def has_expired(self, moment: datetime) -> bool:
        """Return whether the token is refused at a moment."""
        return self.expires_at is not None and moment >= self.expires_at


def tokens(environ: Mapping[str, str] = os.environ) -> tuple[Token, ...]:
    """Read the tokens in the environment; none if the variable is not set.

    Args:
        environ: Environment variables; `DNNSWEEP_TOKENS` holds `NAME:SECRET:rw` or `NAME:SECRET:ro`, separated by
            commas. The last day of a token, or the moment of its end, may follow: `NAME:SECRET:rw:2027-12-31`.

    Raises:
        SettingsError: The variable is empty or malformed, or a secret stands in it twice. The message reveals none.

    Example:
        >>> tokens({"DNNSWEEP_TOKENS": "anna:s3cret:rw,wall:sh0wn:ro"})  # doctest: +ELLIPSIS
        (Token(name='anna', may_write=True, ...), Token(name='wall', may_write=False, ...))
    """
    text = environ.get("DNNSWEEP_TOKENS")
    if text is None:
        return ()
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:  # somebody meant to keep others out
        raise SettingsError(
            f"DNNSWEEP_TOKENS must list {_FORM}, with commas between, got none; unset it to accept everybody on this "
            "machine"
        )
    named = ((f"entry {position} of DNNSWEEP_TOKENS", entry) for position, entry in enumerate(entries, 1))
    return check_secrets([_parse(where, entry) for where, entry in named])


def read_file(path: Path) -> tuple[Token, ...]:
    """Read a file of tokens: one a line; empty lines and lines that begin with # do not count.

    Raises:
        SettingsError: It cannot be read, holds none, is malformed, or holds a secret twice. The message reveals none.
    """
    where = f"the file {path} of DNNSWEEP_TOKENS_FILE"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SettingsError(f"{where} must be readable, but is not: {reason}") from None
    if len(text) > MAX_FILE_BYTES:
        raise SettingsError(f"{where} must have at most {MAX_FILE_BYTES} bytes, got more")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    entries = [(f"line {number} of {path}", line) for number, line in lines if line and not line.startswith("#")]
    if not entries:
        raise SettingsError(f"{where} must hold a token, got none; write {_FORM}")
    return check_secrets([_parse(place, line) for place, line in entries])


def _parse(where: str, entry: str) -> Token:
    match = _ENTRY.fullmatch(entry)
    if match is None or not _is_name(match["name"]) or not is_sendable(match["secret"]):
        raise SettingsError(f"{where} must be {_FORM}, got another form")
    until = match["until"]
    try:
        expires_at = None if until is None else _moment(until)
    except ValueError:
        raise SettingsError(f"{where} must end with a day of the calendar, or a moment, got {until}") from None
    return Token(match["name"], match["secret"], match["access"] == WRITE, expires_at)


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and name.isprintable()


def _moment(until: str) -> datetime:
    """Return when a token ends: at a moment, or with the end of a day; both are in UTC."""
    if "T" in until:
        return datetime.fromisoformat(until)
    return datetime.fromisoformat(until).replace(tzinfo=UTC) + timedelta(days=1)


def check_secrets(found: Iterable[Token]) -> tuple[Token, ...]:
    """Return tokens no two of which have the same secret.

    Raises:
        SettingsError: Two have the same secret. The message names both and reveals nothing else.
    """
    by_secret: dict[str, Token] = {}
    for token in found:
        other = by_secret.setdefault(token.secret, token)
        if other is not token:
            raise SettingsError(
                f"no two tokens may have the same secret, got one for {other.name} and {token.name}; "
                "give each a secret of its own"
            )
    return tuple(by_secret.values())


def find_token(accepted: Sequence[Token], secret: str) -> Token | None:
    """Return the token that has a secret; all are compared, each in constant time."""
    sent, match = secret.encode(errors="surrogateescape"), None
    for token in accepted:
        if hmac.compare_digest(token.secret.encode(), sent):
            match = token
    return match
