"""The compose file: a real broker on loopback, and a worker that waits for it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from tests import container
from tests.cli.processes import running
from tests.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
UP_LIMIT_S = 90


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the file."""
    compose: dict[str, dict[str, Any]] = yaml.safe_load(
        FILE.read_text(encoding="utf-8")
    )
    return compose["services"]


def test_the_broker_listens_on_loopback_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert advertised.startswith("HOST://127.0.0.1:")


def test_the_broker_is_the_kafka_that_the_tests_use(services: dict[str, Any]) -> None:
    kafka = services["kafka"]
    assert kafka["image"] == container.IMAGE
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert "/dev/tcp/" in kafka["healthcheck"]["test"][-1]


def test_every_listener_of_the_broker_has_a_protocol(services: dict[str, Any]) -> None:
    environment = services["kafka"]["environment"]
    names = set(re.findall(r"([A-Z]+)://", environment["KAFKA_LISTENERS"]))
    mapped = dict(
        pair.split(":")
        for pair in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert names == set(mapped)
    advertised = set(
        re.findall(r"([A-Z]+)://", environment["KAFKA_ADVERTISED_LISTENERS"])
    )
    assert advertised == names - {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised


def test_one_broker_asks_for_one_copy_of_everything(services: dict[str, Any]) -> None:
    copies = {
        key: value
        for key, value in services["kafka"]["environment"].items()
        if key.endswith(("REPLICATION_FACTOR", "MIN_ISR", "INSYNC_REPLICAS"))
    }
    assert len(copies) >= 6
    assert set(copies.values()) == {1}


def test_the_worker_waits_for_the_broker_and_keeps_its_state(
    services: dict[str, Any],
) -> None:
    worker = services["worker"]
    command = ["worker", "run", "examples.orders", "--http", "127.0.0.1:9464"]
    assert worker["command"] == command
    assert worker["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    environment = worker["environment"]
    internal = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    address = internal.partition("INTERNAL://")[2]
    assert environment["SAYIIR_BACKEND"] == f"kafka://{address}/sayiir"
    (volume,) = worker["volumes"]
    assert volume.endswith(f":{environment['SAYIIR_STATE_DIR']}")
    assert worker["stop_grace_period"] == "30s"


def test_the_pages_ask_for_the_token_and_stand_before_the_same_app(
    services: dict[str, Any], tmp_path: Path
) -> None:
    pages = services["pages"]
    environment = pages["environment"]
    assert (
        environment["SAYIIR_BACKEND"]
        == (services["worker"]["environment"]["SAYIIR_BACKEND"])
    )
    (config,) = pages["configs"]
    assert environment["SAYIIR_API_TOKEN_FILE"] == config["target"]
    compose = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    content = str(compose["configs"][config["source"]]["content"])
    default = content.partition(":-")[2].rstrip("}")
    tokens = tmp_path / "tokens"
    tokens.write_text(default)
    command = [*pages["command"], "--port", "0", "--backend", "file:log.db"]
    with running(
        tmp_path / "words", *command, cwd=tmp_path, SAYIIR_API_TOKEN_FILE=str(tokens)
    ) as serve:
        serve.until("pages and API of file:log.db on http://")
        port = serve.words().rpartition(":")[2].split()[0]
        address = f"http://127.0.0.1:{port}/api/v1/openapi.json"
        with pytest.raises(HTTPError, match="401"):
            urlopen(address, timeout=10)
        request = Request(address, headers={"Authorization": f"Bearer {default}"})
        with pytest.raises(HTTPError, match="404"):
            urlopen(request, timeout=10)  # noqa: S310
        assert serve.end() == 0


def test_each_service_of_ours_is_asked_whether_it_is_ready(
    services: dict[str, Any],
) -> None:
    for name in ("worker", "pages"):
        service = services[name]
        address = re.search(
            r"[\d.]+ --port (\d+)|127.0.0.1:(\d+)", " ".join(service["command"])
        )
        assert address is not None
        port = address[1] or address[2]
        url = f"http://127.0.0.1:{port}/health/ready"
        assert service["environment"]["HEALTH_URL"] == url
    check = re.search(r"HEALTHCHECK(.|\n)+?CMD (\[.*\])", DOCKERFILE.read_text())
    assert check is not None
    _, _, program = json.loads(check[2])
    compile(program, "HEALTHCHECK", "exec")
    assert "HEALTH_URL=" in DOCKERFILE.read_text()


def test_the_dockerfile_copies_what_is_there_and_may_be_sent() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sources = [
        source
        for line in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in patterns


def _compose() -> list[str]:
    """Return the command of the plugin, or of the older program; empty without both."""
    docker = shutil.which("docker")
    if docker is not None:
        plugin = [docker, "compose"]
        version = subprocess.run(  # noqa: S603 - our own command
            [*plugin, "version"], capture_output=True, check=False
        )
        if version.returncode == 0:
            return plugin
    older = shutil.which("docker-compose")
    return [older] if older else []


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*_compose(), "-f", str(FILE), "-p", "sayiir-es-test", *arguments]
    return subprocess.run(  # noqa: S603 - our own command
        command, capture_output=True, text=True, check=False, timeout=UP_LIMIT_S
    )


def test_docker_compose_accepts_the_file() -> None:
    if not _compose():
        pytest.skip("no docker compose here")
    checked = _run("config", "--quiet")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.docker
@pytest.mark.timeout(UP_LIMIT_S * 3)
def test_the_broker_of_the_compose_file_becomes_healthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not _compose() or not container.image_is_here():
        pytest.skip("no Docker engine with the image here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("KAFKA_PORT", str(free.getsockname()[1]))
    try:
        started = _run("up", "--detach", "--wait", "kafka")
        assert started.returncode == 0, started.stderr
    finally:
        _run("down", "--volumes")
