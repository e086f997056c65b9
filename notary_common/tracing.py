"""Traces by OpenTelemetry, off unless configured: then nothing of it is loaded, and a span costs a look at one variable.

The only room that knows OpenTelemetry. What spans say must hold no secret: names of operations, roles and repositories.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

Ported = TypeVar("Ported")

FLUSH_SECONDS: Final = 3.0
"""How long a process that ends tries to hand over its last spans."""
COMPLAINTS: Final = 60.0
"""Seconds between two lines about a collector that is away."""
MAX_WAITING: Final = 4096
"""Spans that wait for the collector; those beyond are dropped."""


class Settings(Protocol):
    """As much of the section `tracing` as is needed here."""

    endpoint: str | None
    ca_file: Path | None
    ratio: float
    timeout: float


class Span(Protocol):
    """What is told of one piece of work while it goes on."""

    def set_attribute(self, key: str, value: str | int) -> None:
        """Tell a fact."""


class _Silent:
    def set_attribute(self, key: str, value: str | int) -> None:
        """Nobody listens."""


SILENT: Final = nullcontext(cast(Span, _Silent()))
"""The span of work that nobody is told of."""
_tracer: Tracer | None = None


def active() -> bool:
    """Whether traces are made: for paths so hot that even what a span would say is not put together."""
    return _tracer is not None


def span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """The block is one piece of work of the request that is being answered; what nobody asked for is not told.

    An exception is told by its class alone.
    """
    if _tracer is None or not _inside():
        return SILENT
    return _span(_tracer, name, "INTERNAL", None, attributes)


def call(
    name: str, fields: MutableMapping[str, str], **attributes: str | int
) -> AbstractContextManager[Span]:
    """The block asks somebody else, who goes on with the trace by what is added to the `fields` of the request."""
    if _tracer is None or not _inside():
        return SILENT
    return _calling(_tracer, name, fields, attributes)


def request(
    name: str, fields: Mapping[str, str], *, trusted: bool, **attributes: str | int
) -> AbstractContextManager[Span]:
    """The block answers a request with this header; log lines name its trace from here on.

    Args:
        trusted: whether the sender may say which trace it belongs to, and that it is kept.
    """
    if _tracer is None:
        return SILENT
    return _answering(_tracer, name, fields if trusted else {}, attributes)


def traced(port: Ported, prefix: str) -> Ported:
    """`port` itself, or where traces are made, one whose every coroutine is a span called `prefix` and its name."""
    return port if _tracer is None else cast(Ported, _Traced(port, prefix))


@asynccontextmanager
async def tracing(settings: Settings, service: str) -> AsyncIterator[None]:
    """Make traces while the block runs, if that is configured. To be opened once in a process, after any fork."""
    global _tracer  # noqa: PLW0603 - one for each process, as every request would have to carry it
    if settings.endpoint is None:
        yield
        return
    provider = _provider(settings, service)
    _tracer = provider.get_tracer(service)
    try:
        yield
    finally:
        _tracer = None
        # It waits for the collector, which may be away: elsewhere, and not for long.
        ending = asyncio.get_running_loop().run_in_executor(None, provider.shutdown)
        await asyncio.wait({ending}, timeout=FLUSH_SECONDS)


def _inside() -> bool:
    from opentelemetry.trace import get_current_span  # noqa: PLC0415

    return get_current_span().is_recording()


def _provider(settings: Settings, service: str) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - loaded only where it is wanted
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    _complain_seldom()
    sampler = ParentBased(TraceIdRatioBased(settings.ratio))
    provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": service}))
    provider.add_span_processor(
        BatchSpanProcessor(_exporter(settings), max_queue_size=MAX_WAITING, schedule_delay_millis=1000)
    )
    return provider


def _exporter(settings: Settings) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        certificate_file=None if settings.ca_file is None else str(settings.ca_file),
        timeout=settings.timeout,
    )


def _complain_seldom() -> None:
    """The library logs each batch that is lost, in many words; one line a minute says as much."""
    log = logging.getLogger("opentelemetry")
    last = -COMPLAINTS

    def seldom(record: logging.LogRecord) -> bool:
        nonlocal last
        if record.levelno < logging.WARNING or time.monotonic() - last < COMPLAINTS:
            return False
        last = time.monotonic()
        record.exc_info = None
        return True

    for handler in list(log.handlers):
        log.removeHandler(handler)
    log.addHandler(_Complaint(seldom))
    log.propagate = False


class _Complaint(logging.Handler):
    def __init__(self, wanted: Callable[[logging.LogRecord], bool]) -> None:
        super().__init__()
        self.addFilter(wanted)

    def emit(self, record: logging.LogRecord) -> None:
        """As one of our own lines."""
        structlog.get_logger("notary").warning("traces are not taken", reason=record.getMessage()[:300])


@contextmanager
def _span(
    tracer: Tracer, name: str, kind: str, context: Any, attributes: Mapping[str, str | int]
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415

    with tracer.start_as_current_span(
        name,
        context,
        SpanKind[kind],
        dict(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield cast(Span, opened)
        except BaseException as error:
            # Its text may hold anything.
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(Status(StatusCode.ERROR))
            raise


@contextmanager
def _calling(
    tracer: Tracer, name: str, fields: MutableMapping[str, str], attributes: Mapping[str, str | int]
) -> Iterator[Span]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    with _span(tracer, name, "CLIENT", None, attributes) as opened:
        TraceContextTextMapPropagator().inject(fields)
        yield opened


@contextmanager
def _answering(
    tracer: Tracer, name: str, fields: Mapping[str, str], attributes: Mapping[str, str | int]
) -> Iterator[Span]:
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    # Nothing but this header: state and baggage of others are of no use here.
    given = {name.lower(): value for name, value in fields.items() if name.lower() == "traceparent"}
    context = TraceContextTextMapPropagator().extract(given, Context())
    with _span(tracer, name, "SERVER", context, attributes) as opened:
        found = trace.get_current_span().get_span_context()
        # Until the task answers another request: its log line comes after this.
        structlog.contextvars.bind_contextvars(**{"trace.id": f"{found.trace_id:032x}"})
        yield opened


class _Traced:
    """Stands before a port."""

    def __init__(self, port: object, prefix: str) -> None:
        self._port = port
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def told(*arguments: Any, **named: Any) -> Any:
            with span(f"{self._prefix} {name}"):
                return await found(*arguments, **named)

        # Found once, then without this detour.
        self.__dict__[name] = told
        return told
