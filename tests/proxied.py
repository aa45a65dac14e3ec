"""An app behind a real nginx, as the README says."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.kernel.ports import free_ports
from tests.conftest import Program
from tests.helpers import PATIENCE

NGINX = """
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{content}
}}
"""


def readme() -> str:
    """The README's own lines for nginx."""
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    return str(found)


@dataclass
class Mounted:
    """An app behind nginx. ``url`` is where its readers reach it; ``program`` the app itself."""

    url: str
    program: Program
    authorities: Path

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authorities)

    def client(self, **more: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.tls(), trust_env=False, **more)  # type: ignore[arg-type]


Mount = Callable[..., Mounted]


@pytest.fixture
def mounted(program: Callable[..., Program], tmp_path: Path) -> Iterator[Mount]:
    """Starts nginx before an app: as the README says, or with the path cut off."""
    running: list[subprocess.Popen[bytes]] = []

    def mount(cut: bool = False, **environment: str) -> Mounted:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        app = program(
            *("--root-path", "/lab/echodeck", "--proxies", "127.0.0.1", "--allowed-hosts", "deck.localhost"),
            **environment,
        )
        (port,) = free_ports(1)
        content = readme()
        for before, after in (
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("deck.example", "deck.localhost"),
            ("127.0.0.1:8000", f"127.0.0.1:{app.port}{'/' if cut else ''}"),
            ("/etc/ssl/deck.crt", str(certificate)),
            ("/etc/ssl/deck.key", str(key)),
        ):
            assert before in content, before
            content = content.replace(before, after)
        file = tmp_path / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        file.write_text(NGINX.format(folder=tmp_path, content=content, user=user))
        running.append(subprocess.Popen(["nginx", "-p", tmp_path, "-c", file], stderr=subprocess.PIPE))
        found = Mounted(f"https://localhost:{port}/lab/echodeck", app, certificate)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{found.url}/healthz", verify=found.tls(), trust_env=False)
                return found
            except httpx.ConnectError:
                assert running[-1].poll() is None, running[-1].communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.05)

    yield mount
    for one in running:
        one.terminate()
        one.communicate(timeout=10)
