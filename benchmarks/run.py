"""The engine's figures, embedded and Kafka side by side, in one run.

Run `make bench`, or `python benchmarks/run.py --help`. Workers run as processes of
their own; this process is the load: it starts workflows of five steps that do nothing,
and one has ended when its `WorkflowCompleted` is on the events topic.
Everything is durable as the backend promises: the file is synced before each ack, the
broker acknowledges with `acks=all`. Worker, load and broker share this machine's cores.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.measure import Options, figures_of
from benchmarks.engine.report import print_json, print_table
from benchmarks.engine.served_log import embedded, kafka
from sayiir_es.telemetry import configure_logging

if TYPE_CHECKING:
    from benchmarks.engine.measure import Figures


def arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=8.0, help="of each figure (8)")
    add("--instances", type=int, default=1_000, help="in flight (1,000)")
    add("--partitions", type=int, default=4, help="on Kafka (4)")
    add("--workers", type=int, default=1, help="processes, on Kafka (1)")
    add("--only", choices=["embedded", "kafka"])
    add("-o", "--output", choices=["table", "json"], default="table")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = arguments()
    configure_logging(level="error")
    options = Options(seconds=args.seconds, instances=args.instances)
    figures: dict[str, Figures] = {}
    if args.only != "kafka":
        with embedded() as served:
            figures["embedded"] = asyncio.run(figures_of(served, options))
    if args.only != "embedded":
        with kafka(args.partitions, args.workers) as served:
            figures["kafka"] = asyncio.run(figures_of(served, options))
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
