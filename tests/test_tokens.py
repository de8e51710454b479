"""Tokens: how they are written, when they end, and a file of them that changes while the service runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from serving import settings_of

from dnnsweep.errors import SettingsError
from dnnsweep.service.app import create_app
from dnnsweep.service.token_list import LOOK_SECONDS, TokenList
from dnnsweep.service.tokens import Token, read_file, tokens
from dnnsweep.settings import Limits

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ANNA = "anna:ann4-s3cret:rw"
BERT = "bert:b3rt-s3cret:ro"


class Clock:
    """A clock that a test moves: seconds, and the moment by which tokens expire."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.moment = NOW

    def move(self, seconds: float = LOOK_SECONDS) -> None:
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "tokens"
    made.write_text(f"# who may do what\n\n{ANNA}\n", encoding="utf-8")
    return made


@pytest.fixture
def listed(file: Path, clock: Clock) -> TokenList:
    return TokenList([], file, clock=lambda: clock.seconds, now=lambda: clock.moment)


def name_of(listed: TokenList, secret: str) -> str | None:
    token = listed.find(secret)
    return None if token is None else token.name


# -- how they are written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "secret", "expires_at"),
    [
        ("a:b:rw", "b", None),
        ("a:b:rw:2027-03-01", "b", datetime(2027, 3, 2, tzinfo=UTC)),
        ("a:b:ro:2027-03-01T08:30Z", "b", datetime(2027, 3, 1, 8, 30, tzinfo=UTC)),
        ("a:b:ro:2027-03-01T08:30:59Z", "b", datetime(2027, 3, 1, 8, 30, 59, tzinfo=UTC)),
        ("a:with:colons:rw:2027-03-01", "with:colons", datetime(2027, 3, 2, tzinfo=UTC)),
        ("a:b:rw:2027-03-01:ro", "b:rw:2027-03-01", None),
        ("Anna Müller:b:ro", "b", None),
    ],
)
def test_a_token_may_end_with_a_day_or_a_moment(entry: str, secret: str, expires_at: datetime | None) -> None:
    [token] = tokens({"DNNSWEEP_TOKENS": entry})

    assert (token.secret, token.expires_at) == (secret, expires_at)


@pytest.mark.parametrize(
    "entry",
    [
        "a:s3cret:rw:2027-02-30",
        "a:s3cret:rw:2027-13-01",
        "a:s3cret:rw:tomorrow",
        "a:s3cret:rw:2027-03-01T25:00Z",
        "a:s3cret:rw:2027-03-01T08:30",
        "a:s3cret:2027-03-01",
        "a:s3cret:rw:",
        f"{'a' * 101}:s3cret:rw",
        "a\x1b[2J:s3cret:rw",
        "a\x00:s3cret:rw",
    ],
)
def test_a_token_that_is_written_otherwise_is_refused_and_not_repeated(entry: str, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{ANNA}\n{entry}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"^entry 2 of ") as in_environment:
        tokens({"DNNSWEEP_TOKENS": f"{ANNA},{entry}"})
    with pytest.raises(SettingsError, match=r"^line 2 of ") as in_file:
        read_file(tmp_path / "tokens")

    assert "s3cret" not in f"{in_environment.value} {in_file.value}"


def test_two_tokens_with_one_secret_are_refused_wherever_they_stand(file: Path) -> None:
    twice = "carl:ann4-s3cret:ro"
    for environ in (
        {"DNNSWEEP_TOKENS": f"{ANNA},{BERT},{twice}"},
        {"DNNSWEEP_TOKENS": f"{ANNA},{ANNA}"},
        {"DNNSWEEP_TOKENS": twice, "DNNSWEEP_TOKENS_FILE": str(file)},
    ):
        with pytest.raises(SettingsError, match=r"no two tokens .*anna.*; give each a secret of its own") as caught:
            TokenList.of(environ)
        assert "ann4" not in str(caught.value)


def test_one_person_may_have_two_tokens_while_one_takes_the_place_of_the_other() -> None:
    listed = TokenList.of({"DNNSWEEP_TOKENS": "anna:old-secret:rw:2027-03-01,anna:new-secret:rw"})

    assert [name_of(listed, secret) for secret in ("old-secret", "new-secret")] == ["anna", "anna"]


@pytest.mark.parametrize("content", [None, b"", b"# nobody\n\n", b"\xff\xfe\x00", b"a" * 1_000_001])
def test_a_file_of_which_nothing_can_be_used_is_refused_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError, match="DNNSWEEP_TOKENS_FILE must"):
        TokenList.of({"DNNSWEEP_TOKENS_FILE": str(file)})


# -- when they end --------------------------------------------------------------------------------------------------


def test_a_token_is_accepted_until_its_last_moment(clock: Clock) -> None:
    [token] = tokens({"DNNSWEEP_TOKENS": f"{ANNA}:2027-03-01T12:00:10Z"})
    listed = TokenList([token], now=lambda: clock.moment)

    clock.move(9.999)
    assert listed.accepts(token)
    clock.move(0.001)
    assert not listed.accepts(token)
    assert listed.find(token.secret) == token  # so that its owner can be told


def test_a_service_whose_only_token_has_expired_accepts_nobody_and_says_whose_it_was(tmp_path: Path) -> None:
    ended = Token("anna", "ann4-s3cret", may_write=True, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    with TestClient(create_app(settings_of(tmp_path), Limits(), [ended]), base_url="http://elsewhere") as client:
        answers = [client.get("/sweeps", headers=headers) for headers in ({}, {"Authorization": "Bearer ann4-s3cret"})]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[1].json()["detail"] == (
        "an accepted token must be sent, but that of anna ended at 2020-01-01 00:00 UTC; ask the operator for another "
        "one"
    )


# -- a file that changes --------------------------------------------------------------------------------------------


def test_a_file_is_read_again_when_it_has_changed_but_not_looked_at_all_the_time(
    listed: TokenList, file: Path, clock: Clock
) -> None:
    file.write_text(f"{BERT}\n", encoding="utf-8")

    clock.move(LOOK_SECONDS / 2)
    assert name_of(listed, "b3rt-s3cret") is None
    clock.move()
    assert (name_of(listed, "b3rt-s3cret"), name_of(listed, "ann4-s3cret")) == ("bert", None)


def test_a_file_that_another_takes_the_place_of_is_read_again(listed: TokenList, file: Path, clock: Clock) -> None:
    other = file.with_name("other")
    other.write_text(file.read_text(encoding="utf-8").replace("ann4", "anna"), encoding="utf-8")
    status = file.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)

    clock.move()
    assert (name_of(listed, "anna-s3cret"), name_of(listed, "ann4-s3cret")) == ("anna", None)


@pytest.mark.parametrize("content", [None, "", "anna:ann4", f"{ANNA}\ncarl:ann4-s3cret:ro\n", "# all are gone"])
def test_a_file_that_became_wrong_leaves_the_tokens_as_they_were_and_the_log_says_why_once(
    listed: TokenList, file: Path, clock: Clock, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file.unlink()
    if content is not None:
        file.write_text(content, encoding="utf-8")
    for _ in range(3):
        clock.move()
        assert name_of(listed, "ann4-s3cret") == "anna"

    [said] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said.endswith("; the tokens that were read before stay accepted")
    assert "ann4" not in said
    assert said.startswith(str(listed.error))

    file.write_text(f"{BERT}\n", encoding="utf-8")
    clock.move()
    assert (name_of(listed, "b3rt-s3cret"), name_of(listed, "ann4-s3cret")) == ("bert", None)
    assert listed.error is None


def test_a_token_of_the_environment_stays_whatever_the_file_says(file: Path, clock: Clock) -> None:
    [bert] = tokens({"DNNSWEEP_TOKENS": BERT})
    listed = TokenList([bert], file, clock=lambda: clock.seconds)
    file.write_text("carl:c4rl-s3cret:rw\n", encoding="utf-8")

    clock.move()

    found = [name_of(listed, f"{who}-s3cret") for who in ("b3rt", "c4rl", "ann4")]
    assert found == ["bert", "carl", None]


@pytest.fixture
def client(tmp_path: Path, listed: TokenList) -> Iterator[TestClient]:
    with TestClient(create_app(settings_of(tmp_path / "home"), Limits(), listed), base_url="http://elsewhere") as made:
        yield made


def test_a_running_service_lets_a_new_token_in_and_a_withdrawn_one_out(
    client: TestClient, file: Path, clock: Clock
) -> None:
    def statuses() -> list[int]:
        headers = ({"Authorization": f"Bearer {who}-s3cret"} for who in ("ann4", "b3rt"))
        return [client.get("/metrics", headers=sent).status_code for sent in headers]

    assert statuses() == [200, 401]
    file.write_text(BERT, encoding="utf-8")
    clock.move()
    assert statuses() == [401, 200]

    file.write_text("nonsense", encoding="utf-8")
    clock.move()
    assert statuses() == [401, 200]
    figures = client.get("/metrics", headers={"Authorization": "Bearer b3rt-s3cret"}).text
    assert "\ndnnsweep_token_file_stale 1.0\n" in figures


def test_whoever_was_let_in_before_is_not_any_more_once_the_token_is_withdrawn(
    listed: TokenList, file: Path, clock: Clock
) -> None:
    anna = listed.find("ann4-s3cret")
    assert listed.accepts(anna)

    file.write_text(BERT, encoding="utf-8")
    clock.move()

    assert not listed.accepts(anna)
    assert not listed.accepts(None)
    assert TokenList([]).accepts(None)
