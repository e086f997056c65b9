"""A SPIFFE Workload API on a Unix socket, as SPIRE's agent offers it: real gRPC, one workload for each socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from spiffe._proto import workload_pb2, workload_pb2_grpc

from deploy.local.pki import Authority, Pair

MESSAGES: Any = workload_pb2
"""The classes in it are made when it is imported; type checkers do not see them."""


class WorkloadApi(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Gives whoever asks one SVID, and pushes the next as soon as there is one."""

    def __init__(self, socket: Path) -> None:
        """Nothing listens yet."""
        self.socket = socket
        self._changed = threading.Condition()
        self._number = 0
        self._response: Any = None
        self._server: Any = None

    def __enter__(self) -> WorkloadApi:
        """Listen."""
        self._server = grpc.server(ThreadPoolExecutor(8))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._server.add_insecure_port(f"unix://{self.socket}")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut everybody off."""
        server, self._server = self._server, None
        with self._changed:
            self._changed.notify_all()
        server.stop(None).wait(20)

    def push(self, spiffe_id: str, pair: Pair, *believed: Authority) -> None:
        """From now on this is the SVID."""
        key = load_pem_private_key(pair.key.read_bytes(), None)
        chain = x509.load_pem_x509_certificates(pair.certificate.read_bytes())
        svid = MESSAGES.X509SVID(
            spiffe_id=spiffe_id,
            x509_svid=b"".join(one.public_bytes(Encoding.DER) for one in chain),
            x509_svid_key=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            bundle=b"".join(one.certificate.public_bytes(Encoding.DER) for one in believed),
        )
        with self._changed:
            self._number += 1
            self._response = MESSAGES.X509SVIDResponse(svids=[svid])
            self._changed.notify_all()

    def FetchX509SVID(self, request: object, context: Any) -> Iterator[Any]:
        """The stream of the Workload API's specification."""
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the security header is missing")
        if self._response is None:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        sent = 0
        while context.is_active() and self._server is not None:
            with self._changed:
                if self._number == sent:
                    self._changed.wait(timeout=1)
                number, response = self._number, self._response
            if number > sent:
                sent = number
                yield response
