"""Redaction: addresses that are logged, stored or shown hold no password."""

from __future__ import annotations

import re
from typing import Final

_CREDENTIALS: Final = re.compile(r"(?P<before>\w://[^\s:/@?#]*):[^\s/]*@")
_PARAMETERS: Final = re.compile(r"(?i)(?P<before>[?&](?:password|passwd|pwd|sslpassword|token)=)[^&#\s]*")


def redact(text: str) -> str:
    """Return a text in which the passwords of addresses are replaced by `***`.

    Example:
        >>> redact("postgresql+psycopg://anna:p@ss:w@db:5432/ledger is away")
        'postgresql+psycopg://anna:***@db:5432/ledger is away'
        >>> redact("postgresql://db/ledger?user=anna&password=p%40ss")
        'postgresql://db/ledger?user=anna&password=***'
    """
    return _PARAMETERS.sub(r"\g<before>***", _CREDENTIALS.sub(r"\g<before>:***@", text))
