"""Restate: its server, the Python SDK served by granian, and an HTTP client."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.peers.load import SENDERS, Case, case_of, measure
from benchmarks.peers.recovery import effects_file, kill, measure_recovery

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

SERVER = "PEER_RESTATE_SERVER"
"""The environment variable that names the server's program."""

PARTITIONS = 4
"""As many as ours has here; on two cores it is faster so than with its default of 24.
"""

START_LIMIT_S = 40.0
CALL_LIMIT_S = 120.0
POLLING_S = 0.1
OK = 200

_checks = itertools.count()


class RestateEngine:
    """Calls of the server's HTTP ingress."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, worker: int, server: int
    ) -> None:
        self.roots = {
            "client": (os.getpid(),),
            "worker": (worker,),
            "server": (server,),
        }
        self.pids = (worker, server)
        self.http = http
        self.url = url

    async def run(self, workload: str, instance_id: str, value: int) -> int:
        """Start and wait in one call."""
        name = "Chain" if workload == "w1" else "FanOut"
        return int(await self._post(f"/{name}/{instance_id}/run", value))

    async def start_waiting(self, instance_ids: Sequence[str]) -> None:
        """Send, then ask the worker which ones have come to their waits."""
        sending = asyncio.Semaphore(SENDERS)

        async def start(instance_id: str) -> None:
            async with sending:
                await self._post(f"/Signalled/{instance_id}/run/send", 0)

        await asyncio.gather(*map(start, instance_ids))
        # Each question has a key of its own: it must not touch one that waits.
        while not await self._post(  # noqa: ASYNC110 (they wait in another process)
            f"/Signalled/check-{next(_checks)}/waiting", list(instance_ids)
        ):
            await asyncio.sleep(POLLING_S)

    async def send(self, instance_id: str, value: int) -> None:
        """Call the handler that resolves the promise."""
        await self._post(f"/Signalled/{instance_id}/signal", value)

    async def result(self, instance_id: str) -> int:
        """Attach to the run."""
        return int(await self._attach(f"Signalled/{instance_id}"))

    async def _attach(self, run: str) -> Any:
        url = f"{self.url}/restate/workflow/{run}/attach"
        async with self.http.get(url) as response:
            return await _answer(response)

    async def _post(self, path: str, body: object) -> Any:
        async with self.http.post(self.url + path, json=body) as response:
            return await _answer(response)


class RestateRecovery(RestateEngine):
    """The server and the client live on while the worker is killed."""

    def __init__(
        self, engine: RestateEngine, stack: ExitStack, worker_command: Sequence[str]
    ) -> None:
        super().__init__(engine.http, engine.url, *engine.pids)
        self._stack = stack
        self._worker_command = worker_command

    async def begin(self, instance_ids: Sequence[str]) -> None:
        """Send all."""
        for instance_id in instance_ids:
            await self._post(f"/Effects/{instance_id}/run/send", instance_id)

    def worker_pid(self) -> int:
        """The ASGI server."""
        return self.pids[0]

    async def restart(self) -> None:
        """Start it again at its address."""
        self._stack.enter_context(process(self._worker_command, {}))

    async def wait(self, instance_ids: Sequence[str]) -> None:
        """Attach to all at once."""
        await asyncio.gather(*(self._attach(f"Effects/{one}") for one in instance_ids))


async def _answer(response: aiohttp.ClientResponse) -> Any:
    if response.status >= 300:  # noqa: PLR2004 (2xx is well)
        raise RuntimeError(f"{response.status}: {(await response.text())[:200]}")
    if response.content_type == "application/json":
        return await response.json()
    return await response.read()


@contextmanager
def process(command: Sequence[str], env: Mapping[str, str]) -> Generator[int]:
    """A process whose whole tree ends with the block; what it says goes to stderr."""
    started = subprocess.Popen(  # noqa: S603 (the peer's program)
        command, env={**os.environ, **env}, stdout=sys.stderr
    )
    try:
        yield started.pid
    finally:
        if started.poll() is None:
            kill(started.pid)
        started.wait()


async def answered(
    http: aiohttp.ClientSession, method: str, url: str, body: object = None
) -> None:
    """Repeat a request until it is answered well."""
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            async with http.request(method, url, json=body) as response:
                if OK <= response.status < 300:  # noqa: PLR2004 (2xx is well)
                    return
                said = await response.text()
        except aiohttp.ClientError as error:
            said = str(error)
        if time.monotonic() > end:
            raise RuntimeError(f"{url} did not answer: {said[:200]}")
        await asyncio.sleep(POLLING_S)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def settings_of(folder: str, ingress: int, admin: int, node: int) -> dict[str, str]:
    """The server's environment: one node on loopback."""
    return {
        "RESTATE_BASE_DIR": folder,
        "RESTATE_NODE_NAME": "bench",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": "127.0.0.1",
        "RESTATE_BIND_PORT": str(node),
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_DEFAULT_NUM_PARTITIONS": str(PARTITIONS),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
        "DO_NOT_TRACK": "1",
    }


def worker_command(port: int) -> list[str]:
    """An ASGI server of one process for the workflows."""
    granian = [str(Path(sys.executable).parent / "granian"), "--interface", "asginl"]
    granian += ["--host", "127.0.0.1", "--port", str(port), "--http", "2"]
    granian += ["--workers", "1", "--log-level", "warning"]
    return [*granian, "benchmarks.peers.restate_app:app"]


async def main(case: Case) -> None:
    """Measure on a new server."""
    ingress, admin, node, worker = free_ports(4)
    command = worker_command(worker)
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="restate-bench-")
        )
        effects = stack.enter_context(effects_file())
        settings = settings_of(folder, ingress, admin, node)
        server_pid = stack.enter_context(
            process([os.environ[SERVER], "--no-logo"], settings)
        )
        worker_pid = stack.enter_context(process(command, {}))
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_LIMIT_S),
        ) as http:
            url = f"http://127.0.0.1:{ingress}"
            deployments = f"http://127.0.0.1:{admin}/deployments"
            deployment = {"uri": f"http://127.0.0.1:{worker}", "force": True}
            await answered(http, "GET", f"http://127.0.0.1:{admin}/health")
            await answered(http, "GET", f"{url}/restate/health")
            await answered(http, "POST", deployments, deployment)
            # Partitions learn the deployment a little later; then this is answered.
            await answered(http, "POST", f"{url}/Chain/check/run", 0)
            engine = RestateEngine(http, url, worker_pid, server_pid)
            if case.workload == "w4":
                recovery = RestateRecovery(engine, stack, command)
                await measure_recovery(recovery, effects)
            else:
                await measure(engine, case)


if __name__ == "__main__":
    asyncio.run(main(case_of(["server"])))
