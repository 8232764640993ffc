"""Runs Apache Kafka in a container, when a Docker engine answers and has the image.

The host port is chosen here, because a broker must advertise it before it starts. A
second listener inside the container is for the broker itself: it checks transactions
through its own advertised address, and cannot reach that of the host.
"""

from __future__ import annotations

import socket
import threading
from importlib import import_module
from typing import Self

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

docker = import_module("docker")  # by name: it has no type hints

IMAGE = "apache/kafka:4.3.1"
PULL_LIMIT_S = 60.0
START_LIMIT_S = 60

_SETTINGS = {
    "NODE_ID": "1",
    "PROCESS_ROLES": "broker,controller",
    "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "LISTENERS": "HOST://:9092,SELF://localhost:19092,CONTROLLER://localhost:9093",
    "LISTENER_SECURITY_PROTOCOL_MAP": (
        "HOST:PLAINTEXT,SELF:PLAINTEXT,CONTROLLER:PLAINTEXT"
    ),
    "INTER_BROKER_LISTENER_NAME": "SELF",
    "AUTO_CREATE_TOPICS_ENABLE": "false",
    "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "OFFSETS_TOPIC_NUM_PARTITIONS": "1",
    "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
    "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
}


def image_is_here() -> bool:
    """Whether an engine answers and has the image, or gets it within a minute."""
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        return False
    try:
        client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pulled = threading.Event()
        threading.Thread(target=_pull, args=(pulled,), daemon=True).start()
        return pulled.wait(PULL_LIMIT_S)
    return True


def _pull(pulled: threading.Event) -> None:
    try:
        docker.from_env().images.pull(IMAGE)
    except docker.errors.DockerException:
        return
    pulled.set()


class KafkaContainer:
    """One broker in a container; use it as a context manager."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self.bootstrap = f"127.0.0.1:{port}"
        advertised = f"HOST://{self.bootstrap},SELF://localhost:19092"
        settings = {**_SETTINGS, "ADVERTISED_LISTENERS": advertised}
        self._container = DockerContainer(IMAGE)
        self._container.ports = {"9092/tcp": ("127.0.0.1", port)}  # type: ignore[dict-item] # docker's form for one address
        self._container.with_envs(**{f"KAFKA_{k}": v for k, v in settings.items()})
        started = LogMessageWaitStrategy("Kafka Server started")
        self._container.waiting_for(started.with_startup_timeout(START_LIMIT_S))

    def __enter__(self) -> Self:
        self._container.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._container.stop()
