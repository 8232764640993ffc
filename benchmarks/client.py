"""What a program gets that calls the public client, on one file and on Kafka.

Run `python benchmarks/client.py --help`. The worker is a process of its own; this
process is the program: it submits workflows of five steps that do nothing, and waits
for their ends, by `aio.WorkflowClient`; with `--run` by one call of both. Client,
worker and broker share this machine's cores, and the CPU time of each is counted.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import flows
from benchmarks.engine.client_load import ClientLoad
from benchmarks.engine.measure import Options, ms, throughput, window_of
from benchmarks.engine.report import print_json, print_table
from benchmarks.engine.served_log import embedded, kafka
from sayiir_es import aio
from sayiir_es.telemetry import configure_logging

if TYPE_CHECKING:
    from benchmarks.engine.measure import Figures
    from benchmarks.engine.served_log import ServedLog

_loads = itertools.count()


def arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=5.0, help="of each figure (5)")
    add("--in-flight", type=int, nargs="*", default=[1, 10, 64, 1_000])
    add("--partitions", type=int, default=4, help="on Kafka (4)")
    add("--workers", type=int, default=1, help="processes, on Kafka (1)")
    add("--only", choices=["embedded", "kafka"])
    add("--run", action="store_true", help="start and wait in one call")
    add("-o", "--output", choices=["table", "json"], default="table")
    return parser.parse_args()


async def figures_of(served: ServedLog, args: argparse.Namespace) -> Figures:
    """The figures of one backend."""
    figures: Figures = {}
    client = aio.WorkflowClient(served.backend)
    for count in args.in_flight:
        prefix = f"client-{next(_loads)}"

        async def call(number: int, prefix: str = prefix) -> None:
            instance_id = f"{prefix}-{number}"
            if args.run:
                status = await client.run(flows.ASYNC, instance_id, "x")
            else:
                await client.submit(flows.ASYNC, instance_id, "x")
                status = await client.wait(instance_id)
            assert status.is_completed(), status

        options = Options(seconds=args.seconds, instances=count)
        window = await window_of(served, ClientLoad(call), count, options)
        calls = "run" if args.run else "submit and wait"
        name = f"{calls}, {count:,} in flight: "
        throughput(name, window, figures)
        workflows = max(len(window.latencies), 1)
        for role in ("load", "broker"):
            if role in window.cpu:
                figures[f"{name}CPU ms a workflow, {role}"] = (
                    window.cpu[role] * 1000 / workflows
                )
        figures[f"{name}CPU ms a step, all"] = (
            sum(window.cpu.values()) * 1000 / (workflows * flows.STEPS)
        )
        if count == 1:
            figures["alone: workflow ms, p50"] = ms(window.latencies, 50)
    return figures


def main() -> None:
    """Measure and print."""
    args = arguments()
    configure_logging(level="error")
    figures: dict[str, Figures] = {}
    if args.only != "kafka":
        with embedded() as served:
            figures["embedded"] = asyncio.run(figures_of(served, args))
    if args.only != "embedded":
        with kafka(args.partitions, args.workers) as served:
            figures["kafka"] = asyncio.run(figures_of(served, args))
    if args.output == "json":
        print_json(figures)
        return
    print_table(
        f"five steps that do nothing, {args.seconds:g} s a figure; Kafka: "
        f"{args.partitions} partitions, {args.workers} worker(s)",
        figures,
    )


if __name__ == "__main__":
    main()
