"""Makes, or brings up to date, all that signer and server need: certificates, token, configuration, tables."""

from __future__ import annotations

import json
import socket
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

from .files import server_document, signer_document, write_document, write_pin, write_softhsm_conf
from .layout import Layout, LocalError, console_script
from .pki import Authority, Pair, outlives

TOKEN_LABEL = "notary"
_RENEW_AUTHORITY = timedelta(days=30)


def check_port(port: int, variable: str, default: int) -> None:
    """See that `port` is free.

    Raises:
        LocalError: another program listens there.
    """
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except PermissionError:
                raise LocalError(
                    f"Port {port} needs root. Choose one above 1023: {variable}={default} make run"
                ) from None
            except OSError as error:
                if family is socket.AF_INET6 and error.errno != 98:
                    continue  # No IPv6 on this machine.
                raise LocalError(
                    f"Port {port} is in use by another program. Stop that one, or choose another port:\n\n"
                    f"    {variable}={port + 1} make run"
                ) from None


def free_port() -> int:
    """A port on the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def host_names() -> list[str]:
    """The names and addresses under which this machine's server may be called."""
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()]))


def prepare(layout: Layout, port: int, signer_port: int) -> list[str]:
    """Everything but the start. What exists and is good stays as it is.

    Returns:
        What was done, a sentence each.

    Raises:
        LocalError: a step failed.
    """
    done: list[str] = []
    layout.root.mkdir(mode=0o700, exist_ok=True)
    certificates(layout, done)
    _configuration(layout, port, signer_port, done)
    _token(layout, done)
    for program, config in (("notary-signer", layout.signer_config), ("notary-server", layout.server_config)):
        _command(layout, program, "db", "upgrade", "--config", str(config))
    return done


def certificates(layout: Layout, done: list[str]) -> None:
    """The authority, and certificates for server, signer and the server towards the signer."""
    new = not (layout.tls / "ca.pem").exists()
    authority = Authority(layout.tls)
    if not outlives(authority.certificate, _RENEW_AUTHORITY):
        for file in layout.tls.glob("*.pem"):
            file.unlink()
        authority = Authority(layout.tls)
        done.append(
            "The throw-away CA was about to expire and was made anew: give clients the new one (below)."
        )
    elif new:
        done.append(f"Made a throw-away CA: {layout.tls / 'ca.pem'}")
    for name, hosts in (
        ("server", host_names()),
        ("signer", ["localhost", "127.0.0.1"]),
        ("server-client", []),
    ):
        if not authority.usable(name, hosts):
            authority.issue(name, hosts)
            if not new:
                done.append(f"Made the certificate {name}.pem anew.")


def _configuration(layout: Layout, port: int, signer_port: int, done: list[str]) -> None:
    # Paths in the files are relative to them, so the clone can be moved.
    tls = Path(layout.tls.name)
    pairs = {
        name: Pair(tls / f"{name}.pem", tls / f"{name}-key.pem")
        for name in ("server", "signer", "server-client")
    }
    ca = tls / "ca.pem"
    signer = signer_document(
        port=signer_port, tls=pairs["signer"], ca=ca, token_label=TOKEN_LABEL,
        pin_file=Path(layout.pin_file.name), database={"backend": "sqlite3", "db_url": "signer.sqlite3"},
    )  # fmt: skip
    server = server_document(
        port=port, tls=pairs["server"], ca=ca, database={"backend": "sqlite3", "db_url": "server.sqlite3"},
        signer={
            "hostname": "localhost", "port": str(signer_port),
            "tls_client_cert": str(pairs["server-client"].certificate),
            "tls_client_key": str(pairs["server-client"].key),
        },
    )  # fmt: skip
    for path, document in ((layout.signer_config, signer), (layout.server_config, server)):
        if not path.exists():
            done.append(f"Wrote {path}")
            write_document(path, document)
        else:
            write_document(path, _new_ports(path, port if document is server else signer_port, signer_port))


def _new_ports(path: Path, port: int, signer_port: int) -> dict[str, Any]:
    """The document as it stands with only its ports replaced: the rest may have been edited by hand."""
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        host = document["server"]["http_addr"].rpartition(":")[0]
        document["server"]["http_addr"] = f"{host}:{port}"
        if "port" in document.get("trust_service", {}):
            document["trust_service"]["port"] = str(signer_port)
    except (ValueError, KeyError, AttributeError, TypeError):
        raise LocalError(f"{path} is damaged. Correct it, or remove it to have it written anew.") from None
    return document


def _token(layout: Layout, done: list[str]) -> None:
    write_softhsm_conf(layout.softhsm_conf, layout.tokens)
    if layout.token_made.exists():
        return
    if not layout.pin_file.exists():
        write_pin(layout.pin_file)
    _command(layout, "notary-signer", "token", "init", "--config", str(layout.signer_config))
    layout.token_made.touch()
    done.append(f"Initialised a SoftHSM token in {layout.tokens}, its PIN in {layout.pin_file}")


def _command(layout: Layout, program: str, *arguments: str) -> None:
    finished = subprocess.run(
        [console_script(program), *arguments],
        env=layout.environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if finished.returncode != 0:
        said = (finished.stdout + finished.stderr).strip()
        raise LocalError(f"`{program} {' '.join(arguments)}` failed:\n\n{said}")
