"""An environment that was made for other programs, or for nobody: what is set there breaks nothing here."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import httpx
import pytest

import echodeck
from tests.commanding import environment
from tests.conftest import ECHODECK
from tests.helpers import first, until
from tests.programs import Start, make, states

NOTHING = "echodeck: nothing answers at http://127.0.0.1:9: Connection refused\n"


def call(*words: str, url: str = "http://127.0.0.1:9", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ECHODECK, *words], env=environment(url, **more), capture_output=True, text=True, timeout=30, check=False
    )


def said(*words: str, url: str = "http://127.0.0.1:9", **more: str) -> str:
    done = call(*words, url=url, **more)
    assert "Traceback" not in done.stderr
    return done.stderr


# The app


SET_BY_OTHERS = {
    "Kubernetes, for a Service of our name": {
        "ECHODECK_PORT": "tcp://10.0.0.1:8000",
        "ECHODECK_SERVICE_HOST": "10.0.0.1",
        "ECHODECK_SERVICE_PORT": "8000",
        "ECHODECK_PORT_8000_TCP_ADDR": "10.0.0.1",
    },
    "compose, from variables without a value": {
        f"ECHODECK_{name}": ""
        for name in (
            *("HOST", "PORT", "CONFIG", "PORTS", "LOOP", "TOKEN", "VIEWER_TOKEN", "TOKEN_FILE", "TRUST_NETWORK"),
            *("ALLOWED_HOSTS", "STREAMS", "TERMINALS", "JOURNAL_ENTRIES", "JOURNAL_DAYS", "QUIET", "ENDS_WITH"),
        )
    },
    "python -OO": {"PYTHONOPTIMIZE": "2"},
    "another web server": {"WEB_CONCURRENCY": "many", "FORWARDED_ALLOW_IPS": "*", "UVICORN_PORT": "1"},
    "a locale that is not there": {"LC_ALL": "xx_YY.nothing"},
    "an ASCII locale": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "proxies": {"HTTP_PROXY": "foo://bar", "ALL_PROXY": "garbage", "NO_PROXY": "%"},
    "certificates": {"SSL_CERT_FILE": "/nowhere", "SSLKEYLOGFILE": "/nowhere/log"},
    "a terminal that is none": {"TERM": "none", "COLUMNS": "wide", "LINES": "-1", "FORCE_COLOR": "1"},
    "warnings as errors": {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"},
}


@pytest.mark.parametrize("why", first(3, SET_BY_OTHERS))
def test_it_serves_and_its_commands_ask_whatever_is_set_for_others(program: Start, why: str) -> None:
    running = program(**SET_BY_OTHERS[why])
    made = make(running, "asyncio")
    assert states(running) == {made["name"]: "running"}
    listed = call("ls", "--json", url=running.url, **SET_BY_OTHERS[why])
    assert (listed.returncode, str(made["name"]) in listed.stdout, listed.stderr) == (0, True, "")
    lesson = httpx.get(f"{running.url}/variants").json()["items"][0]["lesson"]
    assert len(lesson) > 20
    assert httpx.get(f"{running.url}/problems/port-taken").json()["explanation"]


def test_a_real_mistake_in_it_is_still_named() -> None:
    assert said("serve", "--state", ":memory:", ECHODECK_PORT="eighty").startswith("echodeck: ECHODECK_PORT: ")


@pytest.mark.parametrize("home", ["", "/dev/null"])
def test_without_a_home_everything_but_the_state_is_there(home: str) -> None:
    kept = {k: v for k, v in environment("http://127.0.0.1:9").items() if k not in {"HOME", "XDG_CONFIG_HOME"}}
    nobody = ["setpriv", "--reuid", "54321", "--clear-groups"] if os.geteuid() == 0 else []
    if nobody and not all(
        folder.stat().st_mode & 0o5 == 0o5 for folder in Path(ECHODECK).parents
    ):  # of a checkout in /root
        nobody += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    for words, code, words_of_it in (
        (["--version"], 0, "echodeck "),
        (["ls"], 3, NOTHING),
        (["serve", "--port", "0"], 2 if not home else 1, "--state"),
    ):
        done = subprocess.run(
            [*nobody, ECHODECK, *words],
            env=kept | ({"HOME": home} if home else {}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "Traceback" not in done.stderr
        if home or nobody:  # else there is a home directory all the same, that of the user's account
            assert (done.returncode, words_of_it in done.stdout + done.stderr) == (code, True), (words, done)


# The commands


def configured(tmp_path: Path, content: bytes) -> dict[str, str]:
    file = tmp_path / "echodeck" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return {"XDG_CONFIG_HOME": str(tmp_path), "ECHODECK_URL": ""}


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbfurl = "http://127.0.0.1:9"\n',
        '# für alle\nurl = "http://127.0.0.1:9"\n'.encode(),
        b'url = "http://127.0.0.1:9"\r\ntoken = "abc\\n"\r\n',
    ],
)
@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX"])
def test_the_config_file_is_utf_8_whoever_wrote_it(tmp_path: Path, content: bytes, locale: str) -> None:
    more = configured(tmp_path, content) | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert said("ls", **more) == NOTHING


def test_a_config_file_that_is_not_needed_is_not_read(tmp_path: Path) -> None:
    more = configured(tmp_path, b"this is [no TOML")
    assert "cannot be used" in said("ls", **more)
    assert said("ls", "--url", "http://127.0.0.1:9", "--token", "x", **more) == NOTHING


def test_a_config_that_cannot_be_read_is_said_and_done_without(tmp_path: Path) -> None:
    more = configured(tmp_path, b"")
    (tmp_path / "echodeck" / "config.toml").unlink()
    (tmp_path / "echodeck" / "config.toml").mkdir()
    first, second = said("ls", "--url", "http://127.0.0.1:9", **more).splitlines()
    assert "config.toml is not read: Is a directory" in first
    assert second + "\n" == NOTHING


BLAMES = [
    ("the proxy", "http://10.255.255.1:9", {"HTTP_PROXY": "foo://bar"}, "the proxy for http://10.255.255.1:9"),
    (
        "a proxy for others",
        "http://10.255.255.1:9",
        {"HTTP_PROXY": "127.0.0.1:9", "HTTPS_PROXY": "foo://"},
        "Connection refused",
    ),
    (
        "certificates",
        "https://127.0.0.1:9",
        {"SSL_CERT_FILE": "/nowhere", "SSLKEYLOGFILE": "/nowhere/x"},
        "Connection refused",
    ),
    ("certificates for others", "http://127.0.0.1:9", {"SSL_CERT_FILE": "/nowhere"}, "Connection refused"),
]


@pytest.mark.parametrize(("what", "url", "more", "words"), BLAMES, ids=[one[0] for one in BLAMES])
@pytest.mark.parametrize("command", ["ls", "term x"])
def test_what_is_wrong_is_blamed_and_nothing_else(
    what: str, url: str, more: dict[str, str], words: str, command: str
) -> None:
    text = said(*command.split(), url=url, **more)
    assert words in text
    assert "answer cannot be written" not in text


@pytest.mark.parametrize("command", ["apply -", "top --once", "term x", "ls"])
def test_without_standard_input(command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{ECHODECK} {command} <&-"],
        env=environment("http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in {2, 3}


def test_colours_that_others_want_cost_a_pipe_no_column(program: Start) -> None:
    running = program()
    make(running, "asyncio")

    def header(**more: str) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", call("ls", url=running.url, **more).stdout).split("\n")[0]

    plain = header()
    for more in ({"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}, {"CLICOLOR_FORCE": "1"}, {"COLUMNS": "20"}):
        assert header(**more) == plain
    assert "ADDRESS" in plain


def test_ages_are_told_by_the_apps_clock(program: Start, tmp_path: Path) -> None:
    """As if this machine's clock were a day ahead of that of the app's machine."""
    ahead = "import datetime as d\nclass A(d.datetime):\n    @classmethod\n    def now(cls, tz=None):\n        return d.datetime.now(tz) + d.timedelta(days=1)\n"
    script = tmp_path / "ahead.py"
    script.write_text(
        ahead + "import echodeck, app.console.figures as f\necho_datetime = echodeck.datetime = f.datetime = A\n"
        "import sys\nfrom app.cli import main\nmain()\n"
    )
    running = program()
    name = str(make(running, "asyncio")["name"])
    done = subprocess.run(
        [sys.executable, script, "show", name], env=environment(running.url), capture_output=True, text=True, check=True
    )
    assert re.search(r"running for \d+s", done.stdout), done.stdout


# Paths


HOMELESS = "no home directory is known for ~nosuchuser\n"
PATHS = [
    "serve --state {}",
    "serve --config {}",
    "compare {} asyncio",
    "lab run {}",
    "demo --state {} --port 48100",
    "serve --token-file {}",
    "serve --viewer-token-file {}",
    "serve --fleet https://127.0.0.1:1 --node a --fleet-ca {}",
    "serve --fleet https://127.0.0.1:1 --node a --fleet-cert {}",
    "serve --fleet https://127.0.0.1:1 --node a --fleet-key {}",
    "health --state {}",
    "apply {}",
    "export --output {}",
    "compare three-clients-one-silent --output {}",
    "lab run churn --output {}",
    "lab show {}",
    "lab compare {} 1",
]
"""Every option and argument that takes a path."""


@pytest.mark.parametrize("command", first(5, PATHS))
def test_a_home_directory_that_is_not_known_is_said_in_one_line(echodeck_app: echodeck.Client, command: str) -> None:
    words = command.format("~nosuchuser/x").split()
    done = call(*words, url=echodeck_app.url)
    line = done.stderr.removesuffix("\n")
    assert (done.returncode, line.count("\n"), line.startswith("echodeck: ")) == (2, 0, True), done.stderr
    assert "~nosuchuser" in line


@pytest.mark.parametrize("name", first(2, ["STATE", "CONFIG", "TOKEN_FILE", "VIEWER_TOKEN_FILE", "FLEET_CA"]))
def test_so_it_is_with_a_path_in_the_environment(name: str) -> None:
    done = call("serve", "--port", "0", **{f"ECHODECK_{name}": "~nosuchuser/x"})
    assert (done.returncode, done.stderr) == (2, f"echodeck: ECHODECK_{name}: {HOMELESS}")


def nowhere(tmp_path: Path) -> dict[str, str]:
    """Folders that are none."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    return {"/dev/null": "/dev/null", "a file": str(tmp_path / "file"), "a link to itself": str(tmp_path / "loop")}


@pytest.mark.parametrize("home", first(1, ["/dev/null", "a file"]))
def test_a_home_directory_that_is_none_is_said_in_one_line(tmp_path: Path, home: str) -> None:
    more = {"HOME": nowhere(tmp_path)[home], "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""}
    assert said("ls", **more) == NOTHING
    for words, code in (
        ("serve --port 0", 1),
        ("serve --port 0 --state ~/x", 1),
        ("export", 3),
        ("health --state ~/x", 1),
    ):
        done = call(*words.split(), **more)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), (words, done.stderr)
    done = subprocess.run(
        ["bash", "-c", f"{ECHODECK} --install-completion; exit $?"],
        env=environment("http://127.0.0.1:9", **more), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("echodeck: --install-completion: ")


def test_completion_is_installed_in_a_home_directory_that_is_one(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{ECHODECK} --install-completion; exit $?"],
        env=environment("", HOME=str(tmp_path)), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "echodeck" in (tmp_path / ".bashrc").read_text()


UNREADABLE = [
    "serve --port 0 --state {}/a",
    "serve --port 0 --state :memory: --fleet https://127.0.0.1:1 --node a --fleet-ca {}/a",
    "lab run {}/a.toml",
    "serve --port 0 --state :memory: --fleet https://127.0.0.1:1 --node a --fleet-cert {}/a",
    "serve --config {}/a",
    "serve --token-file {}/a",
    "apply {}/a",
    "export --output {}/a",
    "compare {}/a asyncio",
    "lab show {}/a.json",
]


@pytest.mark.parametrize(("where", "command"), first(3, product(["a link to itself", "a file"], UNREADABLE)))
def test_a_path_that_leads_nowhere_is_said_in_one_line(
    echodeck_app: echodeck.Client, tmp_path: Path, where: str, command: str
) -> None:
    done = call(*command.format(nowhere(tmp_path)[where]).split(), url=echodeck_app.url)
    line = done.stderr.removesuffix("\n")
    assert (line.count("\n"), line.startswith("echodeck: ")) == (0, True), done.stderr
    assert done.returncode == (1 if "--state {}" in command else 2)


def test_one_function_alone_looks_for_home_directories() -> None:
    root = Path(echodeck.__file__).parent
    found = [path for path in (*root.glob("*.py"), *root.glob("app/**/*.py")) if ".expanduser(" in path.read_text()]
    assert [path.name for path in found] == ["echodeck.py"]


# Tokens


@pytest.mark.parametrize("token", first(2, ["qu q", "p\u00e4ss", " qq", "qq ", "\tqq", "qq\nq", "\u0661\u0662"]))
@pytest.mark.parametrize("name", ["ECHODECK_TOKEN", "ECHODECK_VIEWER_TOKEN"])
def test_a_token_that_no_header_carries_is_refused_and_not_shown(token: str, name: str) -> None:
    more = {"ECHODECK_TOKEN": "good"} | {name: token}
    done = call("serve", "--port", "0", "--state", ":memory:", **more)
    assert (done.returncode, done.stderr.startswith(f"echodeck: {name}: it has letters that no token has")) == (2, True)
    assert token not in done.stderr
    if name == "ECHODECK_TOKEN":
        asked = call("ls", **more)
        assert (asked.returncode, token in asked.stderr + asked.stdout) == (2, False)


def test_a_token_out_of_a_file_has_no_newline(program: Start, tmp_path: Path) -> None:
    (tmp_path / "owner").write_text("abc\n")
    (tmp_path / "viewer").write_bytes(b"xyz\r\n")
    running = program("--token-file", str(tmp_path / "owner"), ECHODECK_VIEWER_TOKEN_FILE=str(tmp_path / "viewer"))
    for token, code in (("abc", 201), ("xyz", 403), ("abc\\n", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        made = httpx.post(f"{running.url}/servers", json={"variant": "asyncio", "port": 0}, headers=headers)
        assert made.status_code == code
    assert call("ls", url=running.url, ECHODECK_TOKEN="abc\n").returncode == 0


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"\xff", None])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    text = said("serve", "--port", "0", "--state", ":memory:", "--token-file", str(tmp_path / "token"))
    assert "token" in text
    assert "Echodeck is at" not in text


def test_a_password_in_the_address_is_not_shown_and_no_second_way_in(program: Start) -> None:
    running = program(ECHODECK_TOKEN="abc")
    url = running.url.replace("//", "//me:hush@")
    done = call("ls", url=url, ECHODECK_TOKEN="abc")
    assert (done.returncode, "hush" in done.stderr, "name and password" in done.stderr) == (2, False, True)
    done = call("ls", url=url)
    assert (done.returncode, "hush" in done.stderr) == (5, False)
    assert "hush" not in said("ls", url="http://me:hush@127.0.0.1:9")
    assert "hush" not in said("ls", url="http://me:hush@:9")
    assert "hush" not in said("term", "x", url="http://me:hush@127.0.0.1:9")


def test_no_secret_is_in_the_log_in_ps_or_in_what_the_page_says(program: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush-hush\n")
    running = program("--token-file", str(tmp_path / "token"), ECHODECK_VIEWER_TOKEN="still-hush")
    seen = Path(f"/proc/{running.process.pid}/cmdline").read_bytes().decode()
    headers = {"Authorization": "Bearer hush-hush"}
    for path in ("/", "/servers", "/loop", "/loop/tasks", "/journal", "/metrics", "/openapi.json", "/servers/hush"):
        seen += httpx.get(f"{running.url}{path}", headers=headers | {"accept": "text/html, */*"}).text
    seen += httpx.post(f"{running.url}/servers", content=b"{", headers=headers).text
    seen += httpx.post(f"{running.url}/login", data={"token": "hush-wrong"}).text
    seen += str(httpx.post(f"{running.url}/login", data={"token": "hush-hush"}).headers)
    running.signal(signal.SIGTERM)
    running.wait()
    seen += running.end()
    assert "hush-hush" not in seen
    assert "still-hush" not in seen


# SIGHUP


@contextmanager
def starting(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [ECHODECK, "serve", "--port", "0", "--state", str(tmp_path / "state")],
        env=environment(""),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_sighup_while_it_starts_does_not_end_it(tmp_path: Path) -> None:
    with starting(tmp_path) as process:
        blocked = Path(f"/proc/{process.pid}/status")
        hup = 1 << (signal.SIGHUP - 1)
        await until(lambda: int(blocked.read_text().partition("SigBlk:\t")[2].split()[0], 16) & hup, "Python has begun")
        for _ in range(20):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.03)
        assert process.stdout is not None
        before = line = b""
        while b"Echodeck is at" not in line:  # a signal may have come when it had started already
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, before
            before += line
        with socket.create_connection(("127.0.0.1", int(line.split(b":")[-1].strip(b"/\n")))) as page:
            page.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert await asyncio.to_thread(page.recv, 10)  # it has come to where SIGTERM is handled, too
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 0, output
        assert b"no configuration to read again" in before + output
