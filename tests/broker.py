"""Runs one or three real Kafka brokers on loopback, for tests that may kill them.

Each node is broker and controller in one JVM of some 200 MB, on free ports, with its
data in a temporary folder. Settings make waits short, so that rebalances, expired
sessions and compaction happen within a test. No process outlives the test run: each one
is killed with its parent (`setpriv`), and at exit.
"""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests import kafka_java

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

# The last line of a start: the node is registered and unfenced, its port is open.
_SERVES = b"Kafka Server started"
START_LIMIT_S = 60.0
_POLL_S = 0.05

_COMMON = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
    # A topic that nobody created must be an error, as the adapter expects.
    "auto.create.topics.enable": "false",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "2000",
    "log.initial.task.delay.ms": "500",
    # A killed broker is fenced, and accepted again, after 2.5 s; the default is 9.
    "broker.session.timeout.ms": "2500",
    "broker.heartbeat.interval.ms": "500",
    # The default of 128 MB does not fit the small heap.
    "log.cleaner.dedupe.buffer.size": str(8 << 20),
}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


class LocalBroker:
    """A cluster of nodes 1 to `brokers` that keep their addresses over kill and start.

    Raises:
        MissingToolError: on entry, if Java or the jars are missing.
    """

    def __init__(
        self, brokers: int = 1, *, settings: Mapping[str, str] | None = None
    ) -> None:
        self.nodes = tuple(range(1, brokers + 1))
        self._settings = dict(settings or {})
        ports = free_ports(2 * brokers)
        self._ports = dict(zip(self.nodes, ports[:brokers], strict=True))
        self._controllers = dict(zip(self.nodes, ports[brokers:], strict=True))
        self.bootstrap = ",".join(f"127.0.0.1:{p}" for p in self._ports.values())
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[int, int] = {}
        self._options: tuple[str, ...] = ()
        self._format_options: tuple[str, ...] = ()
        self._folder = Path()

    def __enter__(self) -> Self:
        kafka_java.jars()
        archive = kafka_java.archive()
        if not archive.exists() and not self._options:
            _make_archive(archive)
        if archive.exists():
            self._options = (f"-XX:SharedArchiveFile={archive}",)
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what runs and remove the data."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.close)

    def start(self, *nodes: int) -> None:
        """Start these nodes (all when none is named) and wait until each serves."""
        started = nodes or self.nodes
        for node in started:
            self.launch(node)
        end = time.monotonic() + START_LIMIT_S
        while not all(self.serves(node) for node in started):
            if time.monotonic() > end:
                raise TimeoutError(
                    f"expected nodes {started} to serve, but they do not"
                )
            time.sleep(_POLL_S)

    def launch(self, node: int) -> None:
        """Start a node and return at once; ask `serves` whether it is ready."""
        folder = self._folder / f"n{node}"
        with (folder / "broker.log").open("ab") as log:
            self._log_starts[node] = log.tell()
            self._processes[node] = self._run(
                log.fileno(), "kafka.Kafka", str(folder / "server.properties")
            )

    def serves(self, node: int) -> bool:
        """Whether a launched node takes requests.

        Raises:
            RuntimeError: it has ended; the message shows the end of its log.
        """
        with (self._folder / f"n{node}" / "broker.log").open("rb") as log:
            log.seek(self._log_starts[node])
            text = log.read()
        code = self._processes[node].poll()
        if code is not None:
            end = text[-2000:].decode(errors="replace")
            raise RuntimeError(f"expected node {node} to run, but {code}:\n{end}")
        return _SERVES in text

    def kill(self, node: int) -> None:
        """End a node by SIGKILL; its data stays."""
        self._processes[node].kill()
        self._processes[node].wait()

    def pids(self) -> list[int]:
        """The process ids of the nodes that run."""
        return [process.pid for process in self._processes.values()]

    def pause(self, node: int) -> None:
        """Stop a node's process; clients keep their connections and get no answer."""
        self._processes[node].send_signal(signal.SIGSTOP)
        os.waitpid(self._processes[node].pid, os.WUNTRACED)  # it answers until then

    def resume(self, node: int) -> None:
        """Continue a paused node."""
        self._processes[node].send_signal(signal.SIGCONT)

    def _open(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sayiir-kafka-"))
        atexit.register(self.close)
        try:
            self._format()
            self.start()
        except BaseException:
            self.close()
            raise

    def _run(self, output: int, *main: str) -> subprocess.Popen[bytes]:
        line = kafka_java.command(*main, options=self._options)
        setpriv = shutil.which("setpriv")
        # The signal is tied to the thread that starts the process, not to the program.
        if setpriv and threading.current_thread() is threading.main_thread():
            line = [setpriv, "--pdeathsig", "KILL", *line]
        return subprocess.Popen(  # noqa: S603 - our own command
            line, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )

    def move(self) -> None:
        """Give every node, which must be dead, another address of its own."""
        ports = free_ports(len(self.nodes))
        self._ports = dict(zip(self.nodes, ports, strict=True))
        for node in self.nodes:
            self._write_properties(node)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the nodes listen now."""
        return [("127.0.0.1", port) for port in self._ports.values()]

    def _write_properties(self, node: int) -> Path:
        file = self._folder / f"n{node}" / "server.properties"
        lines = (f"{k}={v}\n" for k, v in self._properties(node).items())
        file.write_text("".join(lines))
        return file

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        runs: list[subprocess.Popen[bytes]] = []
        for node in self.nodes:
            (self._folder / f"n{node}").mkdir()
            file = self._write_properties(node)
            arguments = ("format", f"--cluster-id={cluster}", "-c", str(file))
            main = ("kafka.tools.StorageTool", *arguments, *self._format_options)
            runs.append(self._run(subprocess.PIPE, *main))
        for run in runs:
            text = run.communicate()[0].decode(errors="replace")
            if run.returncode:
                raise RuntimeError(f"expected formatted storage, but:\n{text}")

    def _properties(self, node: int) -> dict[str, str]:
        copies, in_sync = str(min(len(self.nodes), 3)), str(min(len(self.nodes), 2))
        client = f"127.0.0.1:{self._ports[node]}"
        control = f"127.0.0.1:{self._controllers[node]}"
        voters = (f"{n}@127.0.0.1:{p}" for n, p in self._controllers.items())
        return {
            **_COMMON,
            "node.id": str(node),
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"CLIENT://{client},CONTROLLER://{control}",
            "advertised.listeners": f"CLIENT://{client}",
            "log.dirs": str(self._folder / f"n{node}" / "data"),
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "1" if len(self.nodes) == 1 else "4",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            **self._settings,
        }

    def leave_archive(self, archive: Path) -> None:
        """Run once, so that the JVM writes the archive of its classes when it ends."""
        self._options = (f"-XX:ArchiveClassesAtExit={archive}",)
        self._open()
        self._processes[1].terminate()
        self._processes[1].wait(START_LIMIT_S)


def _make_archive(archive: Path) -> None:
    part = archive.with_suffix(f".{os.getpid()}")
    trial = LocalBroker()
    try:
        trial.leave_archive(part)
        part.rename(archive)
    except (OSError, subprocess.TimeoutExpired):
        part.unlink(missing_ok=True)  # without it a start only takes longer
    finally:
        trial.close()
