"""The state file among other files and other programs: links, modes, deletion, a full disk, a wrong clock."""

from __future__ import annotations

import asyncio
import resource
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.errors import NotKept
from app.history import store as module
from app.history.chronicle import Chronicle
from app.history.known_time import KnownTime
from app.history.state_file import StateUnusable
from app.history.store import Store
from app.supervising.spec import ServerSpec
from app.supervising.supervisor import Supervisor
from tests.conftest import VARIANTS, HandClock
from tests.helpers import PATIENCE, until
from tests.programs import Start, boom, make, run, states


def listening(path: Path) -> Supervisor:
    from app.supervising.listening import Policy

    return Supervisor(VARIANTS, Policy(range(1024, 65536), False), Store(path))


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("first", ["the file", "the link"])
async def test_a_link_to_the_file_is_the_file(tmp_path: Path, link: object, first: str) -> None:
    file, other = tmp_path / "state", tmp_path / "elsewhere" / "link"
    other.parent.mkdir()
    store = Store(file)
    store.open()
    await store.close()
    link(other, file)  # type: ignore[operator]
    one, two = (file, other) if first == "the file" else (other, file)
    holds = Store(one)
    holds.open()
    with pytest.raises(StateUnusable, match="in use by another echodeck"):
        Store(two).open()
    await holds.close()
    after = Store(two)
    after.open()
    await after.close()


async def test_a_link_to_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "state")
    store = Store(tmp_path / "link")
    store.open()
    with pytest.raises(StateUnusable, match="in use"):
        Store(tmp_path / "state").open()
    await store.close()
    assert (tmp_path / "link").is_symlink()


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.touch(0o644)
    path.chmod(0o644)  # whatever the umask
    store = Store(path)
    store.open()
    store.put(("UPDATE app SET boots = 5", ()))
    await store.flush()
    found = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    await store.close()
    assert {"state", "state-wal"} <= set(found)
    assert set(found.values()) == {0o600}


@pytest.mark.parametrize("what", ["the file", "all that is beside it", "its folder", "only the log beside it"])
async def test_after_its_deletion_it_is_written_anew(tmp_path: Path, what: str) -> None:
    path = tmp_path / "deep" / "state"
    supervisor = listening(path)
    await supervisor.open()
    supervisor.roster.boot = 7
    one = await supervisor.create(ServerSpec(variant="asyncio", port=0, name="one"))
    assert one.listens_at
    await boom(one.listens_at[1])
    await until(lambda: one.exceptions, "the exception is seen")
    names = {"the file": ["state"], "only the log beside it": ["state-wal"]}
    for file in list(path.parent.iterdir()):
        if file.name in names.get(what, [file.name]):
            file.unlink()
    if what == "its folder":
        path.parent.rmdir()
    await supervisor.create(ServerSpec(variant="blocking", port=0, name="two", start=False))
    kept = Store(path)
    before = [entry.id for entry in supervisor.chronicle.entries()][::-1]
    await supervisor.close()
    found = kept.open()
    await kept.close()
    assert [server.name for server in found.servers] == ["one", "two"]
    assert [entry.id for entry in found.journal][: len(before)] == before
    assert [caught.details.input for caught in found.exceptions] == [b"boom\n"]
    if what != "only the log beside it":
        assert found.boots == 8


async def test_another_file_in_its_place_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    path = tmp_path / "state"
    supervisor = listening(path)
    await supervisor.open()
    (tmp_path / "other").write_text("a backup, perhaps")
    (tmp_path / "other").rename(path)
    with pytest.raises(NotKept, match="another file is in the place"):
        await supervisor.create(ServerSpec(variant="asyncio", port=0, name="one"))
    assert path.read_text() == "a backup, perhaps"
    assert supervisor.trouble
    path.unlink()
    await until(lambda: supervisor.trouble is None, "it is written")
    await supervisor.close()
    assert [one.name for one in Store(path).open().servers] == ["one"]


async def test_on_a_full_disk_the_answer_says_that_it_is_not_kept(program: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    running = program("--state", state)
    stays = str(make(running, "asyncio", start=False)["name"])
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # no file takes a byte
    async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE) as api:
        started = await api.post(f"/servers/{stays}/start")
        created = await api.post("/servers", json={"variant": "blocking", "port": 0, "name": "new"})
        for answer in (started, created):
            assert (answer.status_code, answer.json()["type"]) == (507, "/problems/not-kept")
            assert answer.json()["reason"] in answer.json()["detail"]
        assert states(running) == {stays: "running", "new": "running"}
        assert "cannot be written" in (await api.get("/", headers={"accept": "text/html"})).text
        assert run("stop", "new", ECHODECK_URL=running.url).stderr.startswith("echodeck: It was done, but")
        assert (await api.post("/servers/new/start")).status_code == 507
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert (await api.post("/servers/new/start")).status_code == 200
    running.process.kill()
    await asyncio.to_thread(running.wait)
    assert states(program("--state", state)) == {stays: "running", "new": "running"}


# What is old


DAY = 86_400.0


def test_a_clock_that_jumps_ahead_is_believed_bit_by_bit() -> None:
    known = KnownTime(1000.0, 0.0)
    assert known.look(1060.0, 60.0) == 1060.0
    assert known.look(1060.0 + 365 * DAY, 61.0) < 1100.0
    assert known.look(1062.0, 62.0) == 1062.0  # it was set right
    assert known.look(1062.0 + 30 * DAY, 62.0 + 1.25 * DAY) == 1062.0 + 30 * DAY


def test_a_clock_that_goes_back_makes_nothing_old() -> None:
    known = KnownTime(1000 * DAY, 0.0)
    assert known.look(5.0, 10.0) == 5.0
    assert known.look(1000 * DAY + 20.0, 20.0) == 1000 * DAY + 20.0


class WrongClock(HandClock):
    ahead = timedelta()

    def wall(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC) + self.ahead


async def test_a_clock_a_year_ahead_costs_no_entry(tmp_path: Path) -> None:
    clock, path = WrongClock(), tmp_path / "state"
    store = Store(path)
    store.open()
    chronicle = Chronicle(store, clock, str)
    chronicle.note("one", "was created")
    clock.ahead = timedelta(days=365)
    for _ in range(10):
        clock.turn(61)
        chronicle.note("one", "was changed")
    clock.ahead = timedelta()
    clock.turn(61)
    assert len(chronicle.entries()) == 11
    await store.flush()
    await store.close()
    again = Store(path)
    assert len(again.open().journal) == 11
    await again.close()


async def test_what_is_older_than_it_may_be_goes_while_it_runs(tmp_path: Path) -> None:
    clock, path = WrongClock(), tmp_path / "state"
    store = Store(path)
    store.open()
    chronicle = Chronicle(store, clock, str)
    chronicle.note("one", "was created")
    clock.turn(31 * DAY)
    chronicle.note("one", "was changed")
    assert [one.what for one in chronicle.entries()] == ["was changed"]
    await store.close()
    again = Store(path)
    assert [one.what for one in again.open().journal] == ["was changed"]
    await again.close()


@pytest.mark.parametrize("path", ["/dev/null/state", "/dev/null/deep/state", "/proc/nobody/state"])
async def test_a_folder_that_cannot_be_is_named(path: str) -> None:
    with pytest.raises(StateUnusable, match=r"/dev/null\S* cannot be a folder|No such file or directory"):
        Store(Path(path)).open()
