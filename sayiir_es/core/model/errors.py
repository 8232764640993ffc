"""Every error class of the package.

Each has a stable `code`, says whether trying again can help (`retriable`), and has a
page `docs/errors/<code>.md`, which `sayiir-es error <code>` prints. Messages read
`expected X, but Y`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

# --- the classes that users of `sayiir` know ------------------------------------------


class WorkflowError(RuntimeError):
    """A workflow could not be started, resumed or completed.

    Operator action: read the message; it names the instance and what was expected.
    """

    code: ClassVar[str] = "workflow"
    retriable: ClassVar[bool] = False


class TaskError(WorkflowError):
    """A task of a run without persistence failed.

    Operator action: read the traceback in the message; the user's function raised it.
    """

    code: ClassVar[str] = "task"


class NonRetryableError(TaskError):
    """A task raised it to say that another attempt cannot help.

    Operator action: read the message; a task of yours raised it, and it was not tried
    again, whatever its policy.
    """

    code: ClassVar[str] = "non_retryable"


class BackendError(WorkflowError):
    """The log could not be reached, or refused the command.

    Operator action: check that a worker runs and that the log answers.
    """

    code: ClassVar[str] = "backend"
    retriable: ClassVar[bool] = True


class InstanceNotFoundError(BackendError):
    """There is no instance of that id.

    Operator action: check the id and the backend; see `sayiir-es instance list`.
    """

    code: ClassVar[str] = "instance_not_found"
    retriable: ClassVar[bool] = False


class NoWorkerError(BackendError):
    """No owner answered in time, and no worker is announced. The command stays.

    Operator action: start a worker with `sayiir-es worker run MODULE`.
    """

    code: ClassVar[str] = "no_worker"


class SubmitManyError(BackendError):
    """Some starts of `submit_many` failed; all of them were tried.

    Attributes:
        errors: The instance id and the error of each that failed, in their order.
        count: How many were to be started.

    Operator action: read the errors; the same starts may be sent again under the
    conflict policy `use_existing`.
    """

    code: ClassVar[str] = "submit_many"

    def __init__(self, errors: Iterable[tuple[str, Exception]], count: int) -> None:
        self.errors = tuple(errors)
        self.count = count
        super().__init__(self.errors, count)

    def __str__(self) -> str:
        instance_id, error = self.errors[0]
        return (
            f"expected {self.count} instances to start, but {len(self.errors)} did "
            f"not; the first is {instance_id!r}: {error}"
        )


class InstanceAlreadyExistsError(WorkflowError):
    """An instance of that id exists and the conflict policy is `fail`.

    Operator action: none; choose another id or another conflict policy.
    """

    code: ClassVar[str] = "already_exists"


class QueueFullError(WorkflowError):
    """As many runs of the workflow wait as may: the run failed before it began.

    Operator action: start it again later, or retry the instance: a retry waits whatever
    the length of the queue. Raise `max_running` or `queue_length` if this is usual.
    """

    code: ClassVar[str] = "queue_full"
    retriable: ClassVar[bool] = True


class DeserializationError(WorkflowError):
    """Bytes did not decode to what a construct expects.

    Operator action: look at the producer of the value that the message shows.
    """

    code: ClassVar[str] = "deserialization"


class UsageError(WorkflowError):
    """What was typed on the command line makes no sense.

    Operator action: read the message; `--help` of each command ends with an example.
    """

    code: ClassVar[str] = "usage"


class NotFoundError(WorkflowError):
    """What a command line names is not there, or there is no result of it yet.

    Operator action: check the id and the backend; see `sayiir-es instance list`.
    """

    code: ClassVar[str] = "not_found"


class InvalidRequestError(WorkflowError):
    """A request over HTTP is not what its address takes.

    Operator action: read the message; `/openapi.json` says what each address takes.
    """

    code: ClassVar[str] = "invalid_request"


class UnauthorizedError(WorkflowError):
    """A request over HTTP brought no token, or one that is not known.

    Operator action: send `Authorization: Bearer TOKEN`, or log in at `/login`.
    """

    code: ClassVar[str] = "unauthorized"


class ForbiddenError(WorkflowError):
    """A request over HTTP may not do this, whoever sent it.

    Its token may look and not act, or it came by another name or from another site.

    Operator action: see which in the message.
    """

    code: ClassVar[str] = "forbidden"


class RequestTooLargeError(WorkflowError):
    """The body of a request over HTTP is larger than its address takes.

    Operator action: send less; large values belong elsewhere, with a link here.
    """

    code: ClassVar[str] = "request_too_large"


class MethodNotAllowedError(WorkflowError):
    """An address is there, and takes other methods than that of the request.

    Operator action: see `/openapi.json`.
    """

    code: ClassVar[str] = "method_not_allowed"


class InternalError(WorkflowError):
    """A request ended in an error that nobody foresaw: a bug of ours.

    Operator action: look for `request.failed` in the log of `serve`, and report it.
    """

    code: ClassVar[str] = "internal"


class ResourceError(WorkflowError, ValueError):
    """A task names a resource that is not there, or `on_startup` went wrong.

    Operator action: give what the message names, from `on_startup` of the worker or by
    `resources=`; behind an error in `on_startup` read the one that caused it.
    """

    code: ClassVar[str] = "resource"


class SettingsError(WorkflowError):
    """The environment sets something to a value that cannot be used.

    Operator action: set each variable that the message names as it says.
    """

    code: ClassVar[str] = "settings"


# --- the log --------------------------------------------------------------------------


class LogError(BackendError):
    """What a log adapter raises.

    Operator action: see the code of the subclass.
    """

    code: ClassVar[str] = "log"


class AppNotFoundError(InstanceNotFoundError, LogError):
    """There is no such app: no topics of its name, or no file.

    Whoever only reads makes none. It is an `InstanceNotFoundError` too: what is not
    there has no instances.

    Operator action: check the name of the app; a worker or `topic create` makes one.
    """

    code: ClassVar[str] = "app_not_found"


class LogUnavailableError(LogError):
    """The log does not answer.

    Operator action: check the address, the network, and that the brokers run.
    """

    code: ClassVar[str] = "log_unavailable"


class UncertainAppendError(LogError):
    """Nobody knows whether the batch landed; it may still land later.

    Operator action: none; the owner claims again and reads what landed.
    """

    code: ClassVar[str] = "uncertain_append"


class BatchTooLargeError(LogError):
    """The log refused a batch for its size; nothing was written.

    Operator action: raise the topic's `max.message.bytes` or lower the payload limit.
    """

    code: ClassVar[str] = "batch_too_large"
    retriable: ClassVar[bool] = False


class LogRefusedError(LogError):
    """The log answers, and refuses: the same request would be refused again.

    Operator action: the message has the broker's words; set or grant what it names.
    """

    code: ClassVar[str] = "log_refused"
    retriable: ClassVar[bool] = False


class AccessRefusedError(LogRefusedError):
    """The log does not let this client in, or not do what it asks for.

    Operator action: set user, password, protocol or certificate as the message says, or
    grant the ACL that it names.
    """

    code: ClassVar[str] = "access_refused"


class ClockRefusedError(LogRefusedError):
    """The log refused a batch for the time of this machine; nothing was written.

    Operator action: let the machine keep time by NTP, then start again.
    """

    code: ClassVar[str] = "clock_refused"
    retriable: ClassVar[bool] = True


class OffsetGoneError(LogError):
    """The next offset is no longer, or not yet, in the log.

    Operator action: the log lost records, or a store is of another log; see the page.
    """

    code: ClassVar[str] = "offset_gone"
    retriable: ClassVar[bool] = False


class CommandsLostError(LogError):
    """Commands that nobody had read are gone from their topic.

    Operator action: see which, have them sent again, and accept the loss by
    `sayiir-es partition accept-loss N`.
    """

    code: ClassVar[str] = "commands_lost"
    retriable: ClassVar[bool] = False


class UnsafeLogError(LogError):
    """A setting of the log could lose history, or it is not the log that it was.

    Operator action: set what the message names, then start again.
    """

    code: ClassVar[str] = "unsafe_log"
    retriable: ClassVar[bool] = False


class GroupInstanceTakenError(LogError):
    """Another worker joined the group by this one's `group_instance_id`; this one ends.

    Operator action: give every worker of an app a group instance id of its own.
    """

    code: ClassVar[str] = "group_instance_taken"
    retriable: ClassVar[bool] = False


# --- reading the truth ----------------------------------------------------------------


class HistoryError(WorkflowError):
    """The events of a partition cannot be folded further; the partition stops.

    Operator action: do not skip; run a build that knows the event, or find the forger.
    """

    code: ClassVar[str] = "history"


class UnknownDefinitionError(HistoryError):
    """A run was started with a graph that is not on the definitions topic.

    Operator action: start a worker or client that has the workflow; it publishes it.
    """

    code: ClassVar[str] = "unknown_definition"


class UnknownEventError(HistoryError):
    """An event of a kind or schema version that this build does not know.

    Operator action: deploy a build at least as new as the one that wrote it.
    """

    code: ClassVar[str] = "unknown_event"


class ForgedEventError(HistoryError):
    """A record on the events topic that no owner can have written.

    Operator action: take away write access of whoever wrote it; keep the evidence.
    """

    code: ClassVar[str] = "forged_event"


class HoleInHistoryError(HistoryError):
    """The fold was given an offset that does not follow the one before.

    Operator action: report it; the store is rebuilt from the log at the next start.
    """

    code: ClassVar[str] = "hole_in_history"


class LogWentBackwardsError(HistoryError):
    """The log ends before what was acknowledged: it lost records.

    Operator action: see `unclean.leader.election.enable` and `acks`; restore the log.
    """

    code: ClassVar[str] = "log_went_backwards"


class DamagedLogError(HistoryError):
    """What stands in the log's file is not what was written; its reader stops.

    Operator action: restore the file from a copy; the message names file and offset.
    """

    code: ClassVar[str] = "damaged_log"


class DecodeError(WorkflowError):
    """Bytes are not what the contract says: the message names the expectation.

    Operator action: for a command, look at its producer; it is on the dead letters.
    """

    code: ClassVar[str] = "decode"


class EncodeError(WorkflowError, TypeError):
    """A value cannot be written as a payload; the message names its type.

    Also a `TypeError`, as `json.dumps` raises.

    Operator action: return values from tasks that the guide *Values* lists.
    """

    code: ClassVar[str] = "encode"


# --- ownership and stores -------------------------------------------------------------


class FencedError(WorkflowError):
    """Another process claimed the partition; nothing of this owner counts any more.

    Operator action: none, unless it happens often: see `sessions` in the manual.
    """

    code: ClassVar[str] = "fenced"
    retriable: ClassVar[bool] = True


class StoreError(WorkflowError):
    """A snapshot store cannot be used; it is rebuilt from the log.

    Operator action: none; when it repeats, look at the disk.
    """

    code: ClassVar[str] = "store"
    retriable: ClassVar[bool] = True


class CommandRefusedError(BackendError):
    """The owner read the command and refused it; `rejection` is its stable code.

    Operator action: none; the sender asked for what cannot be.
    """

    code: ClassVar[str] = "command_refused"
    retriable: ClassVar[bool] = False

    def __init__(self, message: str, *, rejection: str) -> None:
        super().__init__(message)
        self.rejection = rejection

    def __reduce__(self) -> tuple[object, ...]:
        # It crosses processes, as in a pool of them: `rejection` has no default.
        return _refused, (str(self), self.rejection)


def _refused(message: str, rejection: str) -> CommandRefusedError:
    return CommandRefusedError(message, rejection=rejection)
