"""What a node finds when it joins: other tokens, engines that are none, long leases, TLS, keys that it does not know."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.kernel.ports import free_ports
from tests.engines import Etcd, etcd_binary, until
from tests.fleets import Node, fleet, refusal


def starts_not(node: Node) -> str:
    assert node.process is not None
    try:
        assert node.process.wait(timeout=60) == 1
    finally:
        node.close()
    return node.log.read_text()


def test_a_token_that_differs(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    with fleet(tmp_path, 1, ECHODECK_TOKEN="one-secret", ECHODECK_PORTS="1024-65535") as made:
        said = starts_not(Node(9, made.etcd.urls, free_ports(1)[0], folder, ECHODECK_TOKEN="another-secret"))
        assert "the token of this node is not that of the fleet" in said
        assert "secret" not in said.replace("has another token", "")


def test_an_engine_that_is_none(tmp_path: Path) -> None:
    class Web(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        said = starts_not(Node(1, [f"http://127.0.0.1:{web.server_port}"], free_ports(1)[0], tmp_path))
        web.shutdown()
    assert "is no etcd" in said


def test_members_of_two_clusters(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    engines = [Etcd(folder) for folder in folders]
    try:
        said = starts_not(Node(1, [*engines[0].urls, *engines[1].urls], free_ports(1)[0], tmp_path))
        assert "different etcd clusters" in said
    finally:
        for engine in engines:
            engine.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--lease", "2", "--fence", "1.9"), "do not fit"),
        (("--config", "/dev/null"), "--config is for an app alone"),
        (("--advertise", "nonsense"), "--advertise"),
        (("--renew", "5"), "do not fit"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    node = Node(1, ["http://127.0.0.1:1"], 0, tmp_path, *options)
    assert node.process is not None
    assert node.process.wait(timeout=20) == 2
    node.close()
    assert says in node.log.read_text()


def test_an_engine_whose_shortest_lease_is_longer(tmp_path: Path) -> None:
    engine = Etcd(tmp_path, election_timeout="5000", heartbeat_interval="1000")
    try:
        said = starts_not(Node(1, engine.urls, free_ports(1)[0], tmp_path))
        assert "shortest lease is" in said
    finally:
        engine.close()


def test_no_secret_goes_to_a_foreigner(tmp_path: Path) -> None:
    heard: list[str] = []

    class Foreigner(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers}")
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(b'{"proof": "00"}')

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    folder = tmp_path / "other"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreigner) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        with fleet(tmp_path, 1, ECHODECK_TOKEN="fleet-secret-1") as made:
            wrong = Node(
                2, made.etcd.urls, free_ports(1)[0], folder, "--advertise", f"http://127.0.0.1:{web.server_port}",
                ECHODECK_TOKEN="fleet-secret-1",
            )  # fmt: skip
            try:
                until(lambda: "n2" in made[1].nodes(), "it is known")
                until(wrong.ready, "it is ready")
                answer = made[1].http.get("/nodes/n2").json()
                assert answer["servers"] is None
                made[1].http.get("/servers")
                assert refusal(made[1].http.post("/nodes/n2/drain")) == (502, "node-lost")
            finally:
                wrong.close()
        web.shutdown()
    assert heard
    assert not any("fleet-secret-1" in one for one in heard)
    assert not any("uthorization" in one for one in heard)


# The engine's ways


def test_watches_begin_anew_after_a_compaction(tmp_path: Path) -> None:
    with fleet(tmp_path, 2, cut=(2,)) as made:
        made[1].make("before")
        until(lambda: "before" in made[2].servers(), "it is known")
        for cut in made.cuts[2]:
            cut.cut()
        for number in range(5):
            made[1].make(f"s{number}", on="n1")
        made[1].http.delete("/servers/s0").raise_for_status()
        url = made.etcd.urls[0]
        revision = httpx.post(url + "/v3/kv/range", json={"key": "eA=="}).json()["header"]["revision"]
        assert httpx.post(url + "/v3/kv/compaction", json={"revision": revision, "physical": True}).status_code == 200
        for cut in made.cuts[2]:
            cut.heal()
        until(lambda: set(made[2].servers()) == {"before", "s1", "s2", "s3", "s4"}, "it knows all again")


def test_keys_that_are_not_to_be_understood_are_left_alone(tmp_path: Path) -> None:
    from base64 import b64encode

    with fleet(tmp_path, 1) as made:
        made[1].make("mine")
        for key, value in (("servers/broken", "{"), ("servers/odd", '{"spec": 5}'), ("claims/x", "[]"), ("news/x", "1"),
                           ("servers/new", '{"spec": {"variant": "of-a-later-version", "port": 1, "x": 1}, "wish": "running", "more": 1}')):  # fmt: skip
            put = {
                "key": b64encode(f"/echodeck/v1/{key}".encode()).decode(),
                "value": b64encode(value.encode()).decode(),
            }
            httpx.post(made.etcd.urls[0] + "/v3/kv/put", json=put).raise_for_status()
        time.sleep(1)
        assert made[1].servers()["mine"]["state"] == "running"
        made[1].make("other")
        assert "servers/broken in the engine is not to be understood" in made[1].log.read_text()


def test_an_engine_with_authentication(tmp_path: Path) -> None:
    engine = Etcd(tmp_path)
    url = engine.urls[0]
    try:
        for path, body in (
            ("user/add", {"name": "root", "password": "pass-1"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("auth/enable", {}),
        ):
            where = f"{url}/v3/auth/{path}" if path != "auth/enable" else f"{url}/v3/auth/enable"
            httpx.post(where, json=body).raise_for_status()
        wrong = Node(
            1, engine.urls, free_ports(1)[0], tmp_path, "--fleet-user", "root", ECHODECK_FLEET_PASSWORD="pass-2"
        )
        assert "lets root not in" in starts_not(wrong)
        right = Node(
            2, engine.urls, free_ports(1)[0], tmp_path, "--fleet-user", "root", ECHODECK_FLEET_PASSWORD="pass-1"
        )
        try:
            until(right.ready, "it is ready")
            assert right.make("mine")["node"] == "n2"
            assert "pass-1" not in right.log.read_text()
        finally:
            right.close()
    finally:
        engine.close()


def test_an_engine_behind_tls(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out",
         tmp_path / "cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    client, peer = free_ports(2)
    url = f"https://127.0.0.1:{client}"
    with (tmp_path / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            [etcd_binary(), f"--data-dir={tmp_path / 'data'}", f"--listen-client-urls={url}",
             f"--advertise-client-urls={url}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
             f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
             f"--cert-file={tmp_path / 'cert.pem'}", f"--key-file={tmp_path / 'key.pem'}", "--logger=zap"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        until(lambda: httpx.get(url + "/version", verify=context).status_code == 200, "the engine answers")
        assert "certificate" in starts_not(Node(1, [url], free_ports(1)[0], tmp_path)).lower()
        node = Node(2, [url], free_ports(1)[0], tmp_path, "--fleet-ca", str(tmp_path / "cert.pem"))
        try:
            until(node.ready, "it is ready")
            assert node.make("mine")["node"] == "n2"
        finally:
            node.close()
    finally:
        process.kill()
        process.wait()


# The command line
