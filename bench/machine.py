"""What the figures were measured on: the machine and the versions of everything that took part."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import ssl
import subprocess
from pathlib import Path

from tests.support.postgres import PostgresCluster


def facts() -> dict[str, str]:
    """Name and value of each fact, in the order of telling."""
    memory = int(_found(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()) or 0) // 2**20
    postgres = str(PostgresCluster(Path("/nowhere")).programs / "postgres")
    return {
        "Date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        "Revision": _said("git", "describe", "--always", "--dirty") or "unknown",
        "CPU": _found(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) or platform.machine(),
        "Cores": str(os.cpu_count()),
        "Memory": f"{memory} GiB",
        "Kernel": platform.release(),
        "Python": platform.python_version(),
        "OpenSSL": ssl.OPENSSL_VERSION,
        "PostgreSQL": _found(r"([\d.]+)", _said(postgres, "--version")) or "unknown",
        "MariaDB": _found(r"Ver (\S+)", _said("/usr/sbin/mariadbd", "--version")) or "unknown",
        "Notary": _said("dpkg-query", "--show", "--showformat=${Version}", "notary") or "unknown",
        "wrk": _found(r"wrk (\S+ \S+)", _said("wrk", "--version")) or "unknown",
    }


def _said(*command: str) -> str:
    """What a program wrote; nothing if it is not there. Some tell their version and end with an error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return (done.stdout or "").strip()


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].strip() if match else None
