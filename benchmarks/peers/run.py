"""Ours, Restate, DBOS and Sayiir side by side, each through its own client.

Run `python benchmarks/peers/run.py --help`; `README.md` says how to get the peers. W1
is five steps in a row, W2 ten side by side and a join, W3 a signal that 500 workflows
wait for, W4 a worker killed in the middle of 200 workflows. Client, worker and server
share this machine's cores, and the CPU time of all is counted. A peer that is not
installed is left out.
"""
# ruff: noqa: T201, E402  # a program: it prints, and finds the packages itself

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from rich.console import Console
from rich.table import Table

from benchmarks.engine.report import format_figure
from benchmarks.peers.load import Case, arguments_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESTATE_SERVER = "PEER_RESTATE_SERVER"
LIMIT_S = 240.0
"""For one adapter, beside the measured seconds."""

WORKLOADS = ("w1", "w2", "w3", "w4")
ROLES = ("client", "worker", "server")
OURS = ("kafka", "file")

Load: TypeAlias = "int | None"
"""Workflows in flight; None is as many as suit the engine best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An adapter: the module of its program, and what it needs."""

    module: str
    variant: str
    best: int
    """In flight: where it is fastest on two cores; blocking calls: threads."""

    module_needed: str = ""
    """Tried in its Python; none for ours."""

    packages: str = ""
    """What pip installs for it."""

    recovers: bool = True
    """Whether its state outlives its process."""


PEERS: Mapping[str, Peer] = {
    "kafka": Peer(module="ours", variant="kafka", best=1_000),
    "file": Peer(module="ours", variant="file", best=1_000),
    "restate": Peer(
        module="restate_server",
        variant="server",
        best=64,
        module_needed="restate, aiohttp, granian",
        packages="'restate-sdk[serde]==1.3.0' granian==2.8.7 aiohttp",
    ),
    "dbos": Peer(
        module="dbos_sqlite",
        variant="sqlite",
        best=32,
        module_needed="dbos",
        packages="dbos==3.4.0",
    ),
    "sayiir": Peer(
        module="sayiir_memory",
        variant="memory",
        best=8,
        module_needed="sayiir",
        packages="sayiir==1.0.0",
        recovers=False,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What an adapter printed, or None if it failed."""

    peer: str
    workload: str
    load: Load
    figures: dict[str, float | dict[str, float]] | None


def arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=5.0, help="of each figure (5)")
    add("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    add("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    add(
        "--in-flight",
        nargs="+",
        type=lambda text: None if text == "best" else int(text),
        default=[1, 64, None],
        help="of W1 and W2: numbers, or `best`: what suits each (1 64 best)",
    )
    add(
        "--venv",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a peer is installed; or PEER_NAME in the environment",
    )
    add("-o", "--output", choices=["table", "json"], default="table")
    return parser.parse_args()


def python_of(name: str, venvs: Mapping[str, str]) -> str | None:
    """The Python that runs an adapter; None, and a line on stderr, if it is missing."""
    peer = PEERS[name]
    if not peer.module_needed:
        return sys.executable
    variable = f"PEER_{name.upper()}"
    venv = venvs.get(name) or os.environ.get(variable)
    python = str(Path(venv).absolute() / "bin/python") if venv else sys.executable
    tried = (
        subprocess.run(  # noqa: S603 (the peer's Python)
            [python, "-c", f"import {peer.module_needed}"],
            capture_output=True,
            check=False,
        )
        if Path(python).exists()
        else None
    )
    if tried is None or tried.returncode != 0:
        say(
            f"{name} is left out: python3 -m venv V && V/bin/pip install "
            f"{peer.packages}, then --venv {name}=V or {variable}=V"
        )
        return None
    if name == "restate" and not restate_server():
        say(
            "restate is left out: npm install @restatedev/restate-server@1.7.12, then "
            f"{RESTATE_SERVER}=node_modules/@restatedev/restate-server-linux-x64"
            "/bin/restate-server"
        )
        return None
    return python


def restate_server() -> str | None:
    """The program of Restate's server."""
    return shutil.which(os.environ.get(RESTATE_SERVER, "restate-server"))


def load_average() -> str:
    """Of the last 1, 5 and 15 minutes; before the run it tells what others did."""
    return " ".join(f"{one:.2f}" for one in os.getloadavg())


def say(line: str) -> None:
    """Tell what goes on, beside the table."""
    print(line, file=sys.stderr, flush=True)


def measured(name: str, python: str, case: Case, load: Load) -> Row:
    """One start of an adapter."""
    peer = PEERS[name]
    command = [python, "-m", f"benchmarks.peers.{peer.module}", *arguments_of(case)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    if server := restate_server():
        env[RESTATE_SERVER] = str(Path(server).absolute())
    figures = None
    try:
        done = subprocess.run(  # noqa: S603 (an adapter)
            command,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S + case.seconds,
            check=True,
        )
        figures = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        say(f"{name}, {case.workload}: no end within {LIMIT_S + case.seconds:g} s")
    except subprocess.CalledProcessError as error:
        said = "\n".join(str(error.stderr).splitlines()[-8:])
        say(f"{name}, {case.workload}: failed with {error.returncode}:\n{said}")
    return Row(peer=name, workload=case.workload, load=load, figures=figures)


def rows_of(args: argparse.Namespace, pythons: Mapping[str, str]) -> list[Row]:
    """Every figure, the engines one after the other on the same load."""
    rows: list[Row] = []
    for workload in args.workloads:
        for load in args.in_flight if workload in ("w1", "w2") else [None]:
            for name, python in pythons.items():
                peer = PEERS[name]
                if workload == "w4" and not peer.recovers:
                    continue
                case = Case(
                    variant=peer.variant,
                    workload=workload,
                    seconds=args.seconds,
                    in_flight=load or peer.best,
                )
                say(f"{workload}, {case.in_flight:,} in flight: {name}")
                rows.append(measured(name, python, case, load))
    return rows


def print_rates(rows: Sequence[Row]) -> None:
    """W1 to W3."""
    table = Table(
        title="W3's step is a signal and what comes after it; CPU in ms a step"
    )
    for title in ("", "in flight", "engine"):
        table.add_column(title)
    for title in ("steps/s", "CPU", *ROLES, "p50 ms", *(f"{our} ×" for our in OURS)):
        table.add_column(title, justify="right")
    ours = {
        (row.workload, row.load, row.peer): _number(row.figures, "steps_per_s")
        for row in rows
        if row.peer in OURS
    }
    for row in rows:
        rate = _number(row.figures, "steps_per_s")
        cpu = (row.figures or {}).get("cpu_ms_per_step")
        by_role = cpu if isinstance(cpu, dict) else {}
        ratios = [
            format_figure(our / rate if our and rate else None)
            for our in (ours.get((row.workload, row.load, name)) for name in OURS)
        ]
        table.add_row(
            row.workload.upper(),
            _load_text(row),
            row.peer,
            format_figure(rate),
            format_figure(sum(by_role.values()) if by_role else None),
            *(format_figure(by_role.get(role)) for role in ROLES),
            format_figure(_number(row.figures, "p50_ms")),
            *ratios,
        )
    _print(table)


def print_recoveries(rows: Sequence[Row]) -> None:
    """W4."""
    names = ("recovery_s", "effects_at_kill", "lost", "repeated")
    table = Table(title="W4: kill -9 of the worker, and its new start")
    table.add_column("engine")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        cells = (format_figure(_number(row.figures, name)) for name in names)
        table.add_row(row.peer, *cells)
    _print(table)


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _number(
    figures: Mapping[str, float | dict[str, float]] | None, name: str
) -> float | None:
    figure = (figures or {}).get(name)
    return None if isinstance(figure, dict) else figure


def _load_text(row: Row) -> str:
    if row.workload == "w3":
        return "500 wait"
    return f"{row.load or PEERS[row.peer].best:,}" + ("" if row.load else " (best)")


def main() -> int:
    """Measure and print; 1 if an engine failed."""
    args = arguments()
    venvs = dict(pair.split("=", 1) for pair in args.venv)
    pythons = {name: python for name in args.only if (python := python_of(name, venvs))}
    load_before = load_average()
    rows = rows_of(args, pythons)
    if args.output == "json":
        objects = [
            {
                "engine": row.peer,
                "workload": row.workload,
                "in_flight": row.load or PEERS[row.peer].best,
                "figures": row.figures,
            }
            for row in rows
        ]
        print(json.dumps(objects, indent=2))
    else:
        print(f"{args.seconds:g} s a figure, {os.cpu_count()} cores")
        print(f"load average before {load_before}, after {load_average()}")
        if rates := [row for row in rows if row.workload != "w4"]:
            print_rates(rates)
        if recoveries := [row for row in rows if row.workload == "w4"]:
            print_recoveries(recoveries)
    return 0 if all(row.figures for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
