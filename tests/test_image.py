"""What the image and the compose file promise, as far as their text tells; CI has no engine to build them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.demo.declaration import PORT, declaration
from tests.conftest import Start

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DASHBOARD = json.loads((ROOT / ".monitoring/grafana/dashboards/echodeck.json").read_text())


def published(service: dict[str, Any]) -> set[int]:
    """Ports of the host, all of which lead to the same port of the container."""
    found: set[int] = set()
    for address, outside, inside in (one.split(":") for one in service.get("ports", [])):
        assert (address, outside) == ("127.0.0.1", inside)
        first, _, last = outside.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_everything_is_published_on_loopback_only_and_no_port_twice() -> None:
    ports = [port for service in SERVICES.values() for port in published(service)]
    assert len(ports) == len(set(ports)) > 12
    assert not any("network_mode" in service for service in SERVICES.values())


def test_the_page_and_every_variant_are_published() -> None:
    assert {PORT, *(entry["port"] for entry in declaration())} <= published(SERVICES["echodeck"])


@pytest.mark.parametrize("name", ["echodeck", "visitors"])
def test_our_containers_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "user" not in service
    assert not service.get("privileged")
    assert "cap_add" not in service


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_no_container_may_gain_rights(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"echodeck(-etcd)?|[a-z/]+:v?\d+\.\d+\.\d+", service["image"])


def test_the_state_outlives_the_container() -> None:
    (volume,) = SERVICES["echodeck"]["volumes"]
    name, _, place = volume.partition(":")
    assert name in COMPOSE["volumes"]
    assert f"\nVOLUME {place}\n" in FINAL
    assert f"ECHODECK_STATE={place}/" in FINAL
    assert place in SERVICES["visitors"]["tmpfs"]  # which else would leave a volume without a name behind at each end


def test_visitors_come_when_the_app_is_healthy() -> None:
    assert SERVICES["visitors"]["depends_on"] == {"echodeck": {"condition": "service_healthy"}}
    assert "HEALTHCHECK" in FINAL
    url = SERVICES["visitors"]["command"][-1]
    assert url == f"http://{SERVICES['echodeck']['environment']['ECHODECK_ALLOWED_HOSTS']}:{PORT}"


def test_the_declaration_that_is_served_is_made_in_the_image() -> None:
    assert f">{SERVICES['echodeck']['command'][-1]}" in FINAL


def test_the_final_image_is_nobody_who_installs_nothing() -> None:
    *_, user = re.findall(r"^USER (.+)$", FINAL, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert not re.search(r"pip install|apt|npm|curl|COPY (?!--from)", FINAL)
    assert re.search(r'^ENTRYPOINT \["', FINAL, re.MULTILINE)


def test_what_is_copied_into_the_image_is_let_in_and_there() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == let_in
    assert not [name for name in copied if not (ROOT / name).exists()]


async def test_every_figure_of_the_dashboard_is_measured(api: httpx.AsyncClient, begin: Start) -> None:
    await begin("asyncio")
    await begin("threads")
    measured = set(re.findall(r"^(\w+)[{ ]", (await api.get("/metrics")).text, re.MULTILINE))
    shown = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\b(?:echodeck|process)_\w+", target["expr"])
    }
    assert len(shown) > 12
    assert shown <= measured


def test_the_dashboard_asks_the_provisioned_source_and_where_the_app_is() -> None:
    folder = ROOT / ".monitoring/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards/echodeck.yml").read_text())["providers"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    mounted = {one.split(":")[1] for one in SERVICES["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted
    scraped = yaml.safe_load((ROOT / ".monitoring/prometheus.yml").read_text())["scrape_configs"]
    assert [one["static_configs"] for one in scraped] == [[{"targets": [f"echodeck:{PORT}"]}]]
    assert "echodeck" in SERVICES
