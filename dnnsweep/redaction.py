"""Redaction: whatever is printed, logged, stored or answered holds no password.

Two things are masked in a text: what looks like the password of an address, and the secrets that this process was given
by its environment, in every spelling in which a library may repeat them. A password that was put into an address
without being encoded is taken apart by whoever parses the address, so its parts count as secrets too.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK: Final = "***"
#: Shorter secrets are masked where they stand in an address only: by value, they would make every text unreadable.
MIN_LENGTH: Final = 3
#: How an address of files begins, which holds no password.
_PATH: Final = re.compile(r"(sqlite|file)\b|[/.~]")
#: What follows the colon behind a host.
_PORT: Final = re.compile(r"\d+(?:[/?#]|$)")
_PARAMETERS: Final = re.compile(
    r"(?i)(?P<before>[?&;](?:password|passwd|pwd|sslpassword|token|access_token|api_?key|secret|sig|signature)=)[^&#\s]*"
)
#: Variables that hold addresses; proxies are called by either case.
_ADDRESSES: Final = (
    "DNNSWEEP_DATABASE_URL",
    "DNNSWEEP_API_URL",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    *(case(f"{kind}_proxy") for kind in ("http", "https", "all") for case in (str.lower, str.upper)),
)
#: Ends of the names of variables that hold a secret.
_SECRET_ENDS: Final = ("PASSWORD", "PASSWD", "_SECRET", "_TOKEN", "SECRET_KEY", "SECRET_ACCESS_KEY", "API_KEY")
_TOKENS: Final = "DNNSWEEP_TOKENS"
_TOKEN: Final = re.compile(r"[^:]*:(?P<secret>.*?)(?::(?:ro|rw)(?::[\dTZ:-]+)?)?")
#: What parsers of addresses end a part at, or spell differently.
_DELIMITERS: Final = re.compile(r"[\s@/?#:&=+%\[\]\\^`{}|\"'<>,;]+")
_QUERY_PASSWORD: Final = re.compile(r"(?i)[?&](?:password|passwd|pwd|sslpassword|token)=(?P<secret>.*?)(?=&[a-z_]+=|$)")


def redact(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a text in which passwords are replaced by `***`.

    Args:
        text: The text.
        environ: Environment variables, whose secrets are masked wherever they stand.

    Example:
        >>> redact("postgresql+psycopg://anna:p@ss:w@db:5432/ledger is away", {})
        'postgresql+psycopg://anna:***@db:5432/ledger is away'
        >>> redact("postgresql://db/ledger?user=anna&password=p%40ss", {})
        'postgresql://db/ledger?user=anna&password=***'
        >>> redact("no host RET@db", {"DNNSWEEP_DATABASE_URL": "postgresql://anna:S3C@RET@db/ledger"})
        'no host ***@db'
    """
    return redact_all([text], environ)[0]


def redact_all(texts: Iterable[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return texts as `redact` does each of them, but look for secrets in the environment once."""
    found = {name: value for name, value in environ.items() if name in _ADDRESSES or _is_secret(name)}
    pattern = _pattern(tuple(sorted(found.items())))
    return [_mask_secrets(text, pattern) for text in texts]


def _mask_secrets(text: str, pattern: re.Pattern[str] | None) -> str:
    masked = text if pattern is None else pattern.sub(MASK, text)
    if "://" in masked and "@" in masked:
        masked = re.sub(r"\S+", lambda word: _mask_credentials(word[0]), masked)
    return _PARAMETERS.sub(rf"\g<before>{MASK}", masked)


def _mask_credentials(word: str) -> str:
    """Return a word of a text in which the password of an address, up to the last @, is masked."""
    end, colon = word.rfind("@"), -1
    while (start := word.find("://", colon + 1)) >= 0:
        colon = word.find(":", start + len("://"))
        if not start < colon < end:
            return word
        if not _PORT.match(word, colon + 1):
            return f"{word[:colon]}:{MASK}{word[end:]}"
    return word


def strip_credentials(address: str) -> str:
    """Return an address without user and password.

    Example:
        >>> strip_credentials("https://me:secret@host:5000/path")
        'https://host:5000/path'
        >>> strip_credentials("https://me:not/encoded@host:5000/path")
        'https://host:5000/path'
    """
    scheme, mark, rest = address.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    has_password = "@" in authority or re.search(r":\D", authority)
    if not mark or "@" not in rest or not has_password:
        return address
    return f"{scheme}://{rest.rpartition('@')[2]}"


def is_misread(address: str) -> bool:
    """Return whether whoever parses an address takes a part of its password for the host, the path or the query.

    Example:
        >>> is_misread("http://me:not/encoded@host"), is_misread("http://me:not%2Fencoded@host/path")
        (True, False)
    """
    _, mark, rest = address.partition("://")
    return (
        bool(mark) and not _PATH.match(address) and "@" in rest and "@" not in re.split(r"[/?#]", rest, maxsplit=1)[0]
    )


def mask_output() -> None:
    """Mask passwords in whatever this process logs, and in the tracebacks of errors that nobody handled."""
    make_record = logging.getLogRecordFactory()

    def make_masked(*args: Any, **options: Any) -> logging.LogRecord:
        return _masked(make_record(*args, **options))

    logging.setLogRecordFactory(make_masked)
    sys.excepthook = _print_masked
    threading.excepthook = lambda raised: _print_masked(raised.exc_type, raised.exc_value, raised.exc_traceback)


def _masked(record: logging.LogRecord) -> logging.LogRecord:
    message = record.getMessage()
    masked = redact(message)
    if masked != message:
        record.msg, record.args = masked, ()
    if record.exc_info and record.exc_info[0] is not None:
        # What a formatter finds here it does not make itself.
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    return record


def _print_masked(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if not issubclass(kind, SystemExit) and sys.stderr is not None:  # the first ends a thread quietly
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _is_secret(name: str) -> bool:
    return name == _TOKENS or name.endswith(_SECRET_ENDS)


@lru_cache(maxsize=8)
def _pattern(variables: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    """Return what finds the secrets of some variables, whatever their letters' case; None if there are none."""
    spellings = {
        spelling
        for name, value in variables
        for secret in _secrets_of(name, value)
        for spelling in _spellings(secret)
        if len(spelling) >= MIN_LENGTH
    }
    longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if spellings else None


def _secrets_of(name: str, value: str) -> Iterator[str]:
    if name in _ADDRESSES:
        yield from _secrets_of_address(value)
    elif name == _TOKENS:
        matches = (_TOKEN.fullmatch(entry.strip()) for entry in value.split(","))
        yield from (match["secret"] for match in matches if match)
    else:
        yield value


def _secrets_of_address(address: str) -> Iterator[str]:
    """Yield what may be the password of an address, and its parts if it is not encoded as it should be."""
    if _PATH.match(address):
        return
    password = _password_of(address)
    for secret in (password, *(match["secret"] for match in _QUERY_PASSWORD.finditer(address))):
        yield secret
        yield from _DELIMITERS.split(secret)


def _password_of(address: str) -> str:
    """Return what stands between the user and the last @; without an @, what stands where a port should."""
    rest = re.sub(r"^[A-Za-z][\w+.-]*:/+", "", address)
    login, mark, _ = rest.rpartition("@")
    if mark:
        user, colon, password = login.partition(":")
        return password if colon else ("" if address.startswith("postgres") else user)
    password = re.split(r"[/?#]", rest, maxsplit=1)[0].partition(":")[2]
    return "" if re.fullmatch(r"\d*", password) else rest.partition(":")[2]


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as addresses, messages and Python's own texts spell it."""
    for plain in {secret, unquote(secret), unquote_plus(secret)}:
        yield plain
        yield " ".join(plain.split())
        for encode in (quote, quote_plus):
            yield encode(plain, safe="")
            yield encode(plain, safe="/")
            yield encode(plain, safe="!#$%&'()*+,/:;=?@[]~")  # as `requests` does
        for shown in (repr(plain), ascii(plain), json.dumps(plain), json.dumps(plain, ensure_ascii=False)):
            yield shown[1:-1]
