"""What a worker's `on_startup` gives to its tasks, until `on_shutdown`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.core.authoring.resources import bind_resources, checked_names
from sayiir_es.core.model.errors import ResourceError
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.authoring.workflow import Workflow

OnStartup: TypeAlias = Callable[
    [], Mapping[str, object] | Awaitable[Mapping[str, object] | None] | None
]
"""Makes a worker's resources; sync or async, on the loop where async tasks run."""

OnShutdown: TypeAlias = Callable[[Mapping[str, object]], object]
"""Ends them; sync or async, behind the last task."""

logger = get_logger(__name__)


class WorkerResources:
    """The resources of one worker; used on its event loop."""

    def __init__(
        self, on_startup: OnStartup | None, on_shutdown: OnShutdown | None
    ) -> None:
        """Take what makes and what ends them.

        Raises:
            TypeError: if it cannot be called.
        """
        for name, given in (("on_startup", on_startup), ("on_shutdown", on_shutdown)):
            if given is not None and not callable(given):
                raise TypeError(f"expected {name} to be a function, but {given!r}")
        self.on_startup = on_startup
        self.on_shutdown = on_shutdown
        self._resources: dict[str, object] | None = None

    async def start(self, workflows: Sequence[Workflow]) -> list[Workflow]:
        """Make the resources; the workflows whose functions have them.

        Raises:
            ResourceError: if `on_startup` raised, or a task names what it did not give.
        """
        made: object = None
        if self.on_startup is not None:
            try:
                made = self.on_startup()
                if inspect.isawaitable(made):
                    made = await made
            except Exception as error:  # (the user's function: it stops the start)
                raise ResourceError(
                    f"expected on_startup to give resources, but it raised "
                    f"{type(error).__name__}: {error}"
                ) from error
        resources = self._resources = checked_names(made, giver="on_startup")
        return [
            bind_resources(workflow, resources, giver="on_startup")
            for workflow in workflows
        ]

    async def close(self) -> None:
        """End what was made, once; what goes wrong is logged, and hides nothing."""
        resources, self._resources = self._resources, None
        if resources is None or self.on_shutdown is None:
            return
        try:
            ended = self.on_shutdown(resources)
            if inspect.isawaitable(ended):
                await ended
        except Exception:  # (the user's function: its trouble is no task's)
            logger.exception("worker.resources_left")
