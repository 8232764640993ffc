"""What a process is told first: how to be like the worker, and where code is."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from sayiir_es.core.authoring.tasks import metadata_of
from sayiir_es.core.graph.paths import template
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.model.errors import UsageError
from sayiir_es.engine.attempts.processes.addresses import (
    MAIN,
    address_of,
    addresses_of,
    main_data,
    object_address,
    unbound,
)
from sayiir_es.engine.attempts.processes.log_forwarding import level_names
from sayiir_es.engine.attempts.processes.messages import Code, OtherGraph, Setup
from sayiir_es.engine.tracer import is_tracing
from sayiir_es.telemetry import is_logging_configured
from sayiir_es.wire.payload_codec import JsonCodec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.processes.messages import Address, Message
    from sayiir_es.engine.worker_settings import ProcessSettings
    from sayiir_es.wire.payload_codec import Payloads


_Addresses: TypeAlias = "tuple[Address | None, Address | None, list[Address]]"


class WorkerSetup:
    """What each process of an executor is told."""

    def __init__(
        self,
        settings: ProcessSettings,
        *,
        worker_id: str,
        limits: Limits,
        payloads: Payloads,
    ) -> None:
        self._settings = settings
        self._worker_id = worker_id
        self._limits = limits
        self._payloads = payloads
        self._codes: dict[tuple[str, tuple[tuple[str, Address], ...]], Code] = {}
        """By graph and functions: a name may have had others before."""
        self._of_workflow: WeakKeyDictionary[Workflow, Code] = WeakKeyDictionary()
        self._found: _Addresses | None = None

    def add(self, workflow: Workflow) -> Code:
        """The code of a workflow, which processes are told of from now on."""
        code = self._of_workflow.get(workflow)
        if code is None:
            functions = addresses_of(workflow)
            digest = workflow.graph.digest
            same = (digest, tuple(sorted(functions.items())))
            if same not in self._codes:
                self._codes[same] = Code(
                    key=f"{digest}/{len(self._codes)}",
                    graph=record_of_graph(workflow.graph),
                    functions=functions,
                )
            code = self._of_workflow[workflow] = self._codes[same]
        return code

    def check(self, workflows: Iterable[Workflow]) -> bool:
        """Whether any task of these runs in a process; then all of it is looked at.

        Raises:
            UsageError: if a process cannot import what it needs.
        """
        is_needed = False
        for workflow in workflows:
            for path in _paths_in_process(workflow):
                is_needed = True
                problem = self.problem_of(workflow, path)
                if problem:
                    raise UsageError(problem)
        if is_needed:
            self._addresses()
        return is_needed

    def problem_of(self, workflow: Workflow, path: str) -> str:
        """Why a process cannot run the task at a path; empty if it can."""
        path = template(path)
        if path in self.add(workflow).functions:
            return ""
        function = unbound(workflow.functions[path])
        name = getattr(function, "__qualname__", repr(function))
        return (
            f"expected task {path!r} of {workflow.workflow_id!r}, which is to run in a "
            "process, to be a function at the top level of a module that can be "
            "imported, or its workflow to be a variable there, but it is "
            f"{name!r} of {getattr(function, '__module__', None)!r}"
        )

    def first_messages(self) -> tuple[list[Message], set[str]]:
        """What a new process is told, and which keys it knows then.

        Raises:
            UsageError: if it cannot import what it needs.
        """
        codes = list(self._codes.values())
        on_startup, on_shutdown, codecs = self._addresses()
        named = [on_startup, on_shutdown, *codecs]
        named += [one for code in codes for one in code.functions.values()]
        needs_main = any(one is not None and one[0] == MAIN for one in named)
        setup = Setup(
            # A program may have put anything there.
            sys_path=list(map(str, sys.path)),
            argv=list(map(str, sys.argv)),
            main=main_data() if needs_main else {},
            worker_id=self._worker_id,
            limits=asdict(self._limits),
            codecs=codecs,
            on_startup=on_startup,
            on_shutdown=on_shutdown,
            level=logging.getLogger().getEffectiveLevel(),
            levels=level_names(),
            uses_structlog=is_logging_configured(),
            traces=is_tracing(),
        )
        return [setup, *codes], {code.key for code in codes}

    def missing_messages(self, attempt: Attempt, known: set[str]) -> Iterator[Message]:
        """What a process has to be told before an attempt; `known` grows by it."""
        runnable = attempt.runnable
        assert runnable is not None
        assert runnable.workflow is not None
        code, graph = self.add(runnable.workflow), runnable.graph
        if code.key not in known:
            known.add(code.key)
            yield code
        other = f"{code.key}/{graph.digest}"
        if graph.digest != runnable.workflow.graph.digest and other not in known:
            known.add(other)
            yield OtherGraph(key=code.key, graph=record_of_graph(graph))

    def _addresses(self) -> _Addresses:
        """Of the functions for resources, and of the codecs."""
        if self._found is not None:
            return self._found
        settings = self._settings
        found: list[Address | None] = []
        for name, function in (
            ("on_startup", settings.on_startup),
            ("on_shutdown", settings.on_shutdown),
        ):
            address = None if function is None else address_of(function)
            if function is not None and address is None:
                raise UsageError(_expected(name, function))
            found.append(address)
        codecs: list[Address] = []
        if any(type(one) is not JsonCodec for one in self._payloads.codecs):
            for codec in self._payloads.codecs:
                address = object_address(codec)
                if address is None:
                    raise UsageError(_expected("the codec", codec))
                codecs.append(address)
        self._found = found[0], found[1], codecs
        return self._found


def _paths_in_process(workflow: Workflow) -> list[str]:
    return [
        path
        for path, function in workflow.functions.items()
        if metadata_of(function).executor == "process"
    ]


def _expected(name: str, value: object) -> str:
    return (
        f"expected {name} to stand at the top level of a module that can be imported, "
        'because tasks with executor="process" need it in their processes, but '
        f"{value!r}"
    )
