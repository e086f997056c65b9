"""Log lines: their shape, their levels, and that secrets planted everywhere never come out."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from notary_common import log

pytestmark = pytest.mark.usefixtures("logging_restored")

SECRET = "planted-5ecret-value"


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_notarys_members(capsys: pytest.CaptureFixture[str]) -> None:
    """level, msg and an RFC 3339 time come first; the rest follows as given."""
    log.configure("info", "json")
    log.get_logger().info("served", **{"http.response.status": 200, "gun": "a/b"})
    (line,) = _lines(capsys)
    assert list(line) == ["level", "msg", "time", "http.response.status", "gun"]
    assert line["level"] == "info"
    assert line["msg"] == "served"
    assert line["http.response.status"] == 200
    assert datetime.fromisoformat(str(line["time"])).utcoffset() is not None


def test_no_field_takes_the_place_of_the_frame(capsys: pytest.CaptureFixture[str]) -> None:
    """Fields named like a member of the frame are kept under another name."""
    log.configure("info", "json")
    log.get_logger().info("said", level="debug", time="never", msg="other")
    (line,) = _lines(capsys)
    assert (line["level"], line["msg"]) == ("info", "said")
    assert (line["data.level"], line["data.time"], line["data.msg"]) == ("debug", "never", "other")


def test_the_standard_librarys_lines_come_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    """A foreign library's message is one JSON line with its arguments filled in."""
    log.configure("warning", "json")
    logging.getLogger("aiohttp.server").warning("bad %s from %s", "request", "client")
    logging.getLogger("aiohttp.server").info("not shown")
    (line,) = _lines(capsys)
    assert line["msg"] == "bad request from client"
    assert line["level"] == "warning"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error", "fatal"]),
        ("info", ["info", "warning", "error", "fatal"]),
        ("warn", ["warning", "error", "fatal"]),
        ("warning", ["warning", "error", "fatal"]),
        ("error", ["error", "fatal"]),
        ("fatal", ["fatal"]),
        ("panic", []),
    ],
)
def test_a_level_hides_what_lies_below_it(
    capsys: pytest.CaptureFixture[str], level: str, shown: list[str]
) -> None:
    """Notary's level names mean what they meant."""
    log.configure(level, "json")
    logger = log.get_logger()
    logger.debug("x")
    logger.info("x")
    logger.warning("x")
    logger.error("x")
    logging.getLogger("x").log(55, "x")
    assert [line["level"] for line in _lines(capsys)] == shown


def test_context_of_a_request_is_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound once is on structlog's and the standard library's lines."""
    log.configure("info", "json")
    with structlog.contextvars.bound_contextvars(**{"http.request.id": "r-1"}):
        log.get_logger().info("inside")
        logging.getLogger("x").info("inside too")
    log.get_logger().info("outside")
    assert [line.get("http.request.id") for line in _lines(capsys)] == ["r-1", "r-1", None]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("a\nb\x1b", r'"a\nb\x1b"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        (5, "5"),
        (True, "true"),
        ("\u2028", '"\\u2028"'),
    ],
)
def test_logfmt_is_one_readable_line(capsys: pytest.CaptureFixture[str], value: object, shown: str) -> None:
    """Values that need it are quoted; nothing breaks the line or steers a terminal."""
    log.configure("info", "logfmt")
    log.get_logger().info("did it", key=value)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.startswith('level=info msg="did it" time=')
    assert text.endswith(f" key={shown}\n")


class _Chatty:
    def __str__(self) -> str:
        return f"postgres://u:{SECRET}@h/d"


@pytest.mark.parametrize(
    "fields",
    [
        {"password": SECRET},
        {"pin": SECRET},
        {"so_pin": SECRET},
        {"user_pin": SECRET},
        {"pkcs11.pin": SECRET},
        {"Authorization": SECRET},
        {"http.request.authorization": SECRET},
        {"headers": {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET}},
        {"token": SECRET},
        {"passphrase": SECRET},
        {"db_url": f"postgres://u:{SECRET}@h/d"},
        {"storage": {"db_url": SECRET}},
        {"api_key": SECRET},
        {"private_key": SECRET},
        {"url": f"postgres://u:{SECRET}@h:5432/d?sslmode=disable"},
        {"url": f"postgres://u:{SECRET}@with@at@h/d"},
        {"dsn": f"host=h user=u password={SECRET} dbname=d"},
        {"dsn": f"host=h password='and {SECRET}'"},
        {"body": json.dumps({"user": "u", "password": f"and {SECRET}"})},
        {"body": repr({"pin": SECRET})},
        {"url": f"https://h/?token={SECRET}&x=1"},
        {"header": f"Bearer {SECRET}"},
        {"header": f"basic {SECRET}=="},
        {"error": ValueError(f"postgres://u:{SECRET}@h/d")},
        {"object": _Chatty()},
        {"items": [{"deep": [{"password": SECRET}]}]},
        {"items": (f"password={SECRET}",)},
        {"payload": SECRET.encode()},
        {"pem": f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----"},
        {"pem": f"-----BEGIN PRIVATE KEY-----\n{SECRET}"},
    ],
)
@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_planted_secrets_do_not_come_out(
    capsys: pytest.CaptureFixture[str], fields: dict[str, object], log_format: log.LogFormat
) -> None:
    """Whatever key or sentence holds a secret, the line is there and the secret is not."""
    log.configure("debug", log_format)
    log.get_logger().info("event", **fields)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert SECRET not in text
    assert SECRET[:10] not in text


def test_secrets_in_messages_and_tracebacks_do_not_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The redaction sees the message, its arguments and an exception's text too."""
    log.configure("debug", "json")
    logging.getLogger("sqlalchemy").error("connect %s", f"postgres://u:{SECRET}@h/d")
    log.get_logger().info(f"password={SECRET}")
    try:
        int(f"postgres://u:{SECRET}@h/d")
    except ValueError:
        log.get_logger().exception("failed")
        logging.getLogger("x").exception("failed")
    text = capsys.readouterr().err
    assert text.count("\n") == 4
    assert "ValueError" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "fields",
    [
        {"key_id": "ab12"},
        {"gun": "a/pin"},
        {"tokens": 3},
        {"sha256": "00ff"},
        {"pinned": True},
        {"http.request.uri": "/v2/a/_trust/tuf/"},
    ],
)
def test_ordinary_values_stay(capsys: pytest.CaptureFixture[str], fields: dict[str, object]) -> None:
    """Redaction does not eat what operators need."""
    log.configure("info", "json")
    log.get_logger().info("event", **fields)
    (line,) = _lines(capsys)
    assert fields.items() <= line.items()


def test_signals_step_the_level_and_say_so() -> None:
    """SIGUSR1 raises the level to debug at most, SIGUSR2 lowers it to panic at least."""
    program = (
        "import signal, sys\n"
        "from notary_common import log\n"
        "log.configure('info', 'json'); log.install_level_signals()\n"
        "print('ready', flush=True)\n"
        "for _ in sys.stdin: print(log.level(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        said = []
        for number in [signal.SIGUSR1, signal.SIGUSR1, *[signal.SIGUSR2] * 6]:
            process.send_signal(number)
            said.append(process.stdout.readline().strip())
        process.stdin.write("\n")
        process.stdin.close()
        final = process.stdout.readline().strip()
    done = "Successfully setting log level to"
    assert said == [
        f"{done} debug",
        "Attempt to increase log level failed, will remain at debug level, "
        "error: log level can not be set higher than debug",
        f"{done} info",
        f"{done} warning",
        f"{done} error",
        f"{done} fatal",
        f"{done} panic",
        "Attempt to decrease log level failed, will remain at panic level, "
        "error: log level can not be set lower than panic",
    ]
    assert final == "panic"
