"""Logs as events: one line each on standard error, JSON or logfmt, with `level`, `msg` and `time`.

Every line passes a redaction step; request context (such as `http.request.id`) is bound per task through
structlog's context variables. SIGUSR1 and SIGUSR2 step the level as Notary's daemons do.
"""

from __future__ import annotations

import functools
import logging
import re
import signal
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal, cast

import structlog

LogFormat = Literal["json", "logfmt"]
Event = MutableMapping[str, Any]

STEPS = ("panic", "fatal", "error", "warning", "info", "debug")
"""Levels from the quietest to the most talkative, as Notary names them."""
_NUMBERS = {"panic": 60, "fatal": 55, "error": 40, "warning": 30, "info": 20, "debug": 10}
_ALIASES = {"warn": "warning", "critical": "fatal", "exception": "error"}

_SECRET_KEY = re.compile(
    r"(?:^|[._-])(?:so_?)?(?:pin|password|passwd|passphrase|token|authorization|cookie|secret|api_?key|private(?:_?key)?|db_?url)$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/]*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"""(?P<before>\b(?:password|passwd|sslpassword|passphrase|pin|token|secret)(?:=|["']\s*:\s*))"""
    r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&;,}]+)""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<before>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_PEM = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_SUSPICIOUS = re.compile(r"[\s:=]")
"""Each of the four patterns above needs one of these: most values are known to be clean at once."""
REDACTED = "[redacted]"
_STATEMENT_LOGGERS = ("aiosqlite", "alembic", "asyncio", "sqlalchemy", "watchfiles")
"""Libraries whose lines below errors are statements with their parameters, or of no use to an operator."""


def redact(value: object) -> object:
    """`value` without what looks like a secret; containers are copied, other objects become their text."""
    if isinstance(value, str):
        if _SUSPICIOUS.search(value) is None:
            return value
        text = _PEM.sub(rf"[\g<kind> {REDACTED}]", value)
        for pattern, end in ((_URL_PASSWORD, "@"), (_PARAMETER, ""), (_BEARER, "")):
            text = pattern.sub(rf"\g<before>{REDACTED}{end}", text)
        return text
    if isinstance(value, dict):
        return {
            str(key): REDACTED if _names_secret(str(key)) else redact(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        # Nothing binary belongs into a log, and what it is nobody can tell.
        return f"[{len(value)} bytes]"
    return redact(str(value))


@functools.lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def configure(level: str, log_format: LogFormat) -> None:
    """Send every log line of this process, the standard library's included, to standard error.

    Args:
        level: one of `STEPS`, or `warn`.
        log_format: `json`, or `logfmt` for readers.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _frame,
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if log_format == "json" else _logfmt
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.addLevelName(_NUMBERS["panic"], "PANIC")
    logging.addLevelName(_NUMBERS["fatal"], "FATAL")
    logging.getLogger().handlers = [handler]
    for name in _STATEMENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    set_level(level)


def get_logger(name: str = "notary") -> structlog.stdlib.BoundLogger:
    """A logger: `log.info("what happened", gun=..., role=...)`."""
    return structlog.stdlib.get_logger(name)


def set_level(level: str) -> None:
    """Log from `level` on: one of `STEPS`, or `warn`."""
    logging.getLogger().setLevel(_NUMBERS[_ALIASES.get(level, level)])


def level() -> str:
    """The level in force, one of `STEPS`."""
    number = logging.getLogger().level
    return next(name for name, value in _NUMBERS.items() if value == number)


def install_level_signals() -> None:
    """Let SIGUSR1 raise the level one step (to `debug` at most) and SIGUSR2 lower it (to `panic`)."""
    signal.signal(signal.SIGUSR1, _step)
    signal.signal(signal.SIGUSR2, _step)


def step_level(move: int) -> str:
    """Log more (1) or less (-1) by one step; what Notary's daemons say about it."""
    before = level()
    place = STEPS.index(before) + move
    if 0 <= place < len(STEPS):
        set_level(STEPS[place])
        return f"Successfully setting log level to {STEPS[place]}"
    step, bound = ("increase", "higher") if move > 0 else ("decrease", "lower")
    return (
        f"Attempt to {step} log level failed, will remain at {before} level, "
        f"error: log level can not be set {bound} than {before}"
    )


def _step(number: int, _frame: FrameType | None) -> None:
    sys.stdout.write(step_level(1 if number == signal.SIGUSR1 else -1) + "\n")
    sys.stdout.flush()


def _frame(_logger: object, method: str, event: Event) -> Event:
    """Name the members as Notary does and put them first."""
    record = event.get("_record")
    name = record.levelname.lower() if record is not None else method
    framed: dict[str, Any] = {
        "level": _ALIASES.get(name, name),
        "msg": str(event.pop("event", "")),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return framed | {f"data.{key}" if key in framed else key: value for key, value in event.items()}


def _redact_event(_logger: object, _method: str, event: Event) -> Event:
    internal = {key: value for key, value in event.items() if key.startswith("_")}
    public = {key: value for key, value in event.items() if not key.startswith("_")}
    return {**cast("dict[str, Any]", redact(public)), **internal}


def _logfmt(_logger: object, _method: str, event: Event) -> str:
    return " ".join(
        f"{_KEY_BREAKER.sub('_', str(key))}={_logfmt_value(value)}" for key, value in event.items()
    )


_KEY_BREAKER = re.compile(r'[\s="]')
_PLAIN = re.compile(r'[^\s="\\\x00-\x1f\x7f]+')


def _logfmt_value(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped) + '"'
