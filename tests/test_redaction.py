"""No password is shown: not in a message, a log, a traceback or the ledger, whatever characters it has."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

import pytest
import requests
from examples import n_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import sweep
from sqlalchemy import make_url
from urllib3.util import parse_url

from dnnsweep.errors import DnnsweepError, LedgerError, Mistake, SettingsError, SpecError, TrackingError
from dnnsweep.ledger import Asked, Ledger, NewSweep
from dnnsweep.records import Curve, Reason, Suggestion, SweepState, TrialResult
from dnnsweep.redaction import redact, strip_credentials
from dnnsweep.settings import find_service, find_settings
from dnnsweep.spec import check
from dnnsweep.tracking.access import check_address, explain_errors

#: Where an address may hold a password.
DATABASES: Final = ("postgresql://u:{}@h/x", "postgresql://h/x?user=u&password={}", "postgresql://h/x?password={}&a=b")
SERVERS: Final = ("http://u:{}@h", "https://u:{}@h:5000/path", "http://h/?token={}", "http://:{}@h", "u:{}@h")
#: Each of these takes an address apart in its own way, or stands for one that gives it back in its own spelling.
ODD: Final = (
    "Sec/ret", "Sec@ret", "Sec#ret", "Sec?ret", "Sec%ret", "Sec:ret", "Sec ret", "Sec  ret", "Sec[ret", "Sec]ret",
    "Sec\\ret", "Sec%2Fret", "Sec%40ret", "Sec%2fret", "5432/Secret", "Sec&ret", "Sec'ret", 'Sec"ret', "Sec+ret",
    "Sec,ret", "Sec;ret", "Sec=ret", "@Secret", "/Secret", "#Secret", "?Secret", "Secret/", "Secret@", "Sec℀ret",
    "Sec\u00fcret", "Sec\tret", "Sec|ret", "Sec`ret", "Sec{ret}", "Sec<ret>", "Sec$ret", "Sec!ret", "Sec*ret", "Secret",
)  # fmt: skip
DELIMITERS: Final = re.compile(r"[^\w.!$*()~-]+")
PASSWORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from("@/?#:%&=+[] "),
    min_size=4,
    max_size=12,
)


def readings(address: str) -> str:
    """Return what parsers make of an address, as their errors would tell it."""
    told = [address, repr(address), ascii(address), quote(address), quote_plus(address), unquote(address)]
    told.append(" ".join(address.split()))
    with suppress(ValueError):
        parts = urlsplit(address)
        told += [*map(str, parts), str(parts.hostname), str(parts.password)]
    with suppress(Exception):
        made = make_url(address)
        told += [str(made.host), str(made.password), str(made.database), str(made.query), made.render_as_string()]
    with suppress(Exception):
        told += map(str, parse_url(address))
    with suppress(Exception):
        request = requests.Request("GET", address + "/api").prepare()
        told += [str(request.url), str(request.path_url)]
    return " | ".join(told)


def shown_parts(password: str, text: str) -> list[str]:
    """Return the parts of a password, three characters and more, that stand in a text; spellings count too."""
    parts = {password, unquote(password), *DELIMITERS.split(password)}
    return [part for part in parts if len(part) >= 3 and part.casefold() in text.casefold()]


@pytest.mark.parametrize("form", [*DATABASES, *SERVERS])
@pytest.mark.parametrize("password", ODD)
def test_whatever_a_parser_makes_of_a_password_is_masked(form: str, password: str) -> None:
    name = "DNNSWEEP_DATABASE_URL" if form in DATABASES else "MLFLOW_TRACKING_URI"
    address = form.format(password)

    assert shown_parts(password, redact(readings(address), {name: address})) == []


@settings(max_examples=n_examples(400))
@given(password=PASSWORDS, form=st.sampled_from([*DATABASES, *SERVERS[:4]]))
def test_no_random_password_is_shown(password: str, form: str) -> None:
    name = "DNNSWEEP_DATABASE_URL" if form in DATABASES else "MLFLOW_TRACKING_URI"
    for written in (password, quote(password, safe="")):
        address = form.format(written)
        told = redact(readings(address), {name: address})
        fixed = redact(readings(form.format("~")), {})  # a password may be a word that stands there anyway
        assert [part for part in shown_parts(password, told) if part.casefold() not in fixed.casefold()] == []


@pytest.mark.parametrize(
    "name",
    ["PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DNNSWEEP_TOKEN", "AWS_SECRET_ACCESS_KEY"],
)
@pytest.mark.parametrize("secret", ["Sec/ret", "Sec%2Fret", "s3cret-with-more"])
def test_secrets_of_other_variables_are_masked_in_every_spelling(name: str, secret: str) -> None:
    for text in (secret, quote(secret, safe=""), repr(secret), f"x{secret}y", secret.upper()):
        assert secret.casefold() not in redact(f"it says {text}", {name: secret}).casefold()


def test_secrets_of_tokens_are_masked_and_their_names_are_not() -> None:
    environ = {"DNNSWEEP_TOKENS": "anna:ann4-s3cret:rw,bert:b3rt:s3cret:ro:2027-12-31"}

    assert redact("anna ann4-s3cret bert b3rt:s3cret rw ro", environ) == "anna *** bert *** rw ro"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"DNNSWEEP_DATABASE_URL": "sqlite:////data/a@b:c/dnnsweep.db"},
        {"MLFLOW_TRACKING_URI": "/data/a:runs@home/mlruns"},
        {"MLFLOW_TRACKING_URI": "http://mlflow:5000"},
        {"DNNSWEEP_DATABASE_URL": "postgresql+psycopg://dnnsweep@db/dnnsweep"},
        {"PGPASSWORD": ""},
        {"PGPASSWORD": "a"},
    ],
)
def test_where_there_is_no_password_a_text_stays_as_it_is(environ: dict[str, str]) -> None:
    text = "the ledger at /data/a@b:c/dnnsweep.db, http://mlflow:5000/a@b and postgresql+psycopg://dnnsweep@db/dnnsweep"

    assert redact(text, environ) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@db/x", "postgresql://u:***@db/x"),
        ("at http://:p@h:1 and http://v:q@i", "at http://:***@h:1 and http://v:***@i"),
        ("http://anna@example.org:p@h", "http://anna@example.org:***@h"),
        ("http://u:a/b#c?d@e@h/x", "http://u:***@h/x"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("http://h:80/,http://u:p@i", "http://h:80/,http://u:***@i"),
        ("postgresql://h/x?user=b&password=p%40/q&Token=t#f", "postgresql://h/x?user=b&password=***&Token=***#f"),
        ("nothing: to@hide", "nothing: to@hide"),
    ],
)
def test_passwords_of_addresses_are_masked_though_nobody_said_so(text: str, shown: str) -> None:
    assert redact(text, {}) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://u:a/b@h:5000/path", "http://h:5000/path"),
        ("http://token@h", "http://h"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("sqlite:////data/a@b:c/mlflow.db", "sqlite:////data/a@b:c/mlflow.db"),
        ("http://u:[@h", "http://h"),
    ],
)
def test_an_address_is_shown_without_user_and_password(address: str, shown: str) -> None:
    assert strip_credentials(address) == shown


# -- what is raised, logged and stored ------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ODD)
def test_a_ledger_that_cannot_be_opened_says_so_without_its_password(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://u:{password}@127.0.0.1:1/x?connect_timeout=1"
    monkeypatch.setenv("DNNSWEEP_DATABASE_URL", url)

    with pytest.raises(LedgerError) as caught:
        Ledger.open(url, create=True)

    assert shown_parts(password, str(caught.value)) == []


def test_an_address_whose_password_holds_an_at_sign_says_what_to_do() -> None:
    with pytest.raises(LedgerError, match=r"must hold one @, before its host; write special characters .* as %XX"):
        Ledger.open("postgresql://u:a@b@127.0.0.1:1/x")


@pytest.mark.parametrize("password", ODD)
def test_a_tracking_store_that_cannot_be_reached_says_so_without_its_password(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://u:{password}@127.0.0.1:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(TrackingError) as caught, explain_errors(find_settings("/nowhere")):
        requests.get(f"{uri}/api", timeout=5)

    assert shown_parts(password, str(caught.value)) == []


@pytest.mark.parametrize("password", ["a/b", "a#b", "a?b", "5432/b", "/", "Sec/ret"])
def test_an_address_that_mlflow_would_misread_is_refused_before_it_is_asked(password: str) -> None:
    with pytest.raises(TrackingError, match=r"must have no @ behind its host; write special characters") as caught:
        check_address(find_settings("/nowhere", {"MLFLOW_TRACKING_URI": f"http://u:{password}@h"}))

    assert f"u:{password}" not in str(caught.value)
    for uri in ("http://u:a%2Fb@h/path", "http://u:a@b@h", "sqlite:////data/a@b/mlflow.db", "http://h:80/path"):
        check_address(find_settings("/nowhere", {"MLFLOW_TRACKING_URI": uri}))


@pytest.mark.parametrize("password", ODD)
def test_an_address_of_a_service_with_a_password_is_refused_without_it(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (f"http://u:{password}@h", f"ftp://u:{password}@h"):
        monkeypatch.setenv("DNNSWEEP_API_URL", url)
        with pytest.raises(SettingsError) as caught:
            find_service()
        assert shown_parts(password, str(caught.value)) == []


def test_what_stands_for_a_port_but_is_none_is_not_shown() -> None:
    for url in ("http://u:s3cret", "http://u:s3cret/x", "http://[u:s3cret", "http://u:s3\u2100cret"):
        with pytest.raises(SettingsError, match="got another host or port") as caught:
            find_service({"DNNSWEEP_API_URL": url})
        assert "s3" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_every_error_masks_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    wrong = SpecError([Mistake("s3cret", "s3cret", "s3cret", "s3cret")])

    assert str(DnnsweepError("it is s3cret")) == "it is ***"
    assert wrong.mistakes == (Mistake("***", "***", "***", "***"),)
    assert "s3cret" not in str(wrong)


def test_what_is_stored_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://admin:S3/CRET@host")
    ledger = Ledger.open(f"sqlite:///{tmp_path}/dnnsweep.db", create=True)
    lease = ledger.begin(NewSweep.of(check(sweep())))
    with lease.turn() as turn:
        turn.advance([], [Asked(Suggestion(number, {"dropout": 0.1}, number), {}) for number in (0, 1)], {})
        turn.start(0, 1)
        turn.start(1, 1)
        turn.finish(TrialResult(0, 1, Reason.FAILED, Curve(), None, 1.0, error="no CRET@host"), None, {})
        turn.requeue(1, 1, "lost: no CRET@host")
    lease.end(SweepState.FAILED, "no path /CRET@host")
    for entry in ledger.outbox.claim(10):
        ledger.outbox.postpone(entry, "no path /CRET@host", 0)
    ledger.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"no path /***@host" in stored
    assert b"no ***@host" in stored
    assert b"CRET" not in stored


PROGRAM = """
import logging, sys, threading
from dnnsweep.redaction import mask_output
mask_output()
log = logging.getLogger("any")
logging.basicConfig(format="%(levelname)s %(message)s")
log.warning("%s is %s, not %d", "host", "RET@db", 3)
log.warning("%s is %d", "port", 3)
try:
    raise ValueError("no host RET@db")
except ValueError:
    log.exception("it failed: %s", "RET@db")
def fail():
    raise ValueError("no host RET@db in a thread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise ValueError("no host RET@db at the end")
"""


def test_neither_logs_nor_tracebacks_of_a_process_show_a_password() -> None:
    environ = {"DNNSWEEP_DATABASE_URL": "postgresql://u:S3C@RET@db/x"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )

    assert done.returncode == 1
    for line in (
        "WARNING host is ***@db, not 3",
        "WARNING port is 3",
        "ERROR it failed: ***@db",
        "ValueError: no host ***@db",
        "ValueError: no host ***@db in a thread",
        "ValueError: no host ***@db at the end",
    ):
        assert line in done.stderr.splitlines()
    assert "RET@" not in done.stderr.replace(PROGRAM, "")


def test_a_long_text_of_addresses_is_masked_in_one_pass() -> None:
    """A text that somebody else chose must not keep a service busy: the square of its length would take minutes."""
    for text in ("a://b:" * 200_000, "a://" * 300_000 + "@", "http://h:1/@" * 100_000):
        assert len(redact(text, {})) <= len(text) + 3
