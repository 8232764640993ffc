"""The planted bugs, by the part of the engine that they break."""

from __future__ import annotations

from tests.simulation.mutants import Mutant


def _mutant(name: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(name=name, module=f"sayiir_es.{module}", old=old, new=new)


OWNERSHIP = (
    _mutant(
        "live before the ack",
        "engine.owner.owner",
        "                if count := len(batch.records):\n",
        "                if count := len(batch.records):\n"
        "                    batch.commit(tenure.next_offset)\n"
        "                    inputs.act(batch, offered)\n",
    ),
    _mutant(
        "the fold ignores the claim rule",
        "core.model.position",
        'kind == "PartitionClaimed" or claim == position.claim',
        "claim <= position.claim or True",
    ),
    _mutant(
        "no look at what stands before a batch",
        "engine.owner.tenure",
        "        await self.look(base)\n",
        "",
    ),
    _mutant(
        "a claim that was overtaken is served",
        "engine.owner.claiming",
        "if position.claim != claim:",
        "if False:",
    ),
    _mutant(
        "an uncertain append is taken for a failed one",
        "engine.owner.tenure",
        "        base = await self.appender.append(batch)\n",
        "        try:\n"
        "            base = await self.appender.append(batch)\n"
        "        except Exception:\n"
        "            self.appender = await self.log.appender(self.partition)\n"
        "            base = await self.appender.append(batch)\n",
    ),
    _mutant(
        "a take-over that was cut short is forgotten",
        "engine.owner.owner",
        "            self._unrecovered = True\n",
        "            self._unrecovered = True\n"
        "        else:\n            self._unrecovered = False\n",
    ),
    _mutant(
        "a partition that comes back is not taken over",
        "engine.owner.owner",
        '        self._unrecovered = True\n        """A take-over',
        '        self._unrecovered = False\n        """A take-over',
    ),
    _mutant(
        "timers are not found again",
        "engine.owner.inputs",
        "        self.timers.extend(self._store, batch.now_ms)\n",
        "",
    ),
    _mutant(
        "what is owed is not found again",
        "engine.owner.recovery",
        "iter(owing)",
        "iter(())",
    ),
    _mutant(
        "time runs back with the clock",
        "engine.owner.owner",
        "max(self._now_ms, self._clock.now_ms(), position.at)",
        "max(self._clock.now_ms(), position.at)",
    ),
    _mutant(
        "events are stamped with the bare clock",
        "engine.owner.owner",
        "max(self._now_ms, self._clock.now_ms(), position.at)",
        "self._clock.now_ms()",
    ),
)

ATTEMPTS = (
    _mutant(
        "outcomes are lost with a forward that failed",
        "engine.owner.owner",
        "            try:\n                began_s = meter.now_s()\n"
        "                inputs.collect(batch, offered)\n",
        "            inputs.collect(batch, offered)\n            try:\n"
        "                began_s = meter.now_s()\n",
    ),
    _mutant(
        "outcomes of a failed batch are lost",
        "engine.attempts.reports",
        "        self._reported.extendleft(reversed(self._deciding))\n",
        "",
    ),
    _mutant(
        "a restart is forgotten with its batch",
        "engine.attempts.dispatcher",
        "                self._maybe_begun.add(attempt.token)\n"
        "            if attempt.state is State.WITHDRAWN:\n",
        "                pass\n            if attempt.state is State.WITHDRAWN:\n",
    ),
    _mutant(
        "an attempt that ran is handed out while its outcome waits",
        "engine.attempts.dispatcher",
        "        self.reports.add(attempt, outcome)\n",
        "        self.reports.add(attempt, outcome)\n"
        "        self._attempts.remove(attempt)\n",
    ),
    _mutant(
        "the outcome of an earlier attempt counts",
        "core.decide.attempts",
        '    if outcome.attempt < wait.attempt:\n        return "late"\n',
        "",
    ),
    _mutant(
        "an outcome counts wherever the chain stands",
        "core.decide.attempts",
        '    if cursor.path != outcome.path:\n        return "late"\n',
        "",
    ),
    _mutant(
        "the attempt's number stays after a failure",
        "core.nodes.task",
        "        attempt=body.attempt + 1,",
        "        attempt=body.attempt,",
    ),
    _mutant(
        "a timed attempt begins before its deadline stands",
        "engine.attempts.dispatcher",
        "            if begins and batch",
        "            if attempt.restart and batch",
    ),
    _mutant(
        "what may have begun is not restarted",
        "core.decide.owed",
        "    return wait.deadline_at is not None or node.timeout_ms is None",
        "    return False",
    ),
    _mutant(
        "a key function that may have begun is not restarted",
        "core.decide.attempts",
        "    task.begin(draft, node, slot.path, restart",
        "    if node: task.begin(draft, node, slot.path, restart",
    ),
    _mutant(
        "an attempt of another build's graph finds no code",
        "engine.definitions.registry",
        "        today = self.today(graph.name, graph.version)\n"
        "        if today is None:\n",
        "        today = None\n        if today is None:\n",
    ),
    _mutant(
        "its own late claim makes an owner drop what runs",
        "engine.partition_supervisor",
        '                log.info("partition.fenced"',
        "                await owner.dispatcher.drop_all()\n"
        '                log.info("partition.fenced"',
    ),
)

COMMANDS = (
    _mutant(
        "a command said twice counts twice",
        "core.decide.commands.handle",
        "    answered = get_remembered_command(rows, command.command_id)",
        "    answered = None",
    ),
    _mutant(
        "a repeated forward counts again",
        "engine.owner.batch",
        "        return offset <= self.origins.get(source, -1) < origin_end",
        "        return False",
    ),
    _mutant(
        "an origin is believed as it is written",
        "engine.commands.origins",
        "        return origin if offset < self.end(source) else None",
        "        return origin",
    ),
    _mutant(
        "the place in the commands is not taken from the log",
        "core.model.position",
        "            next_command = command.offset + 1",
        "            pass",
    ),
    _mutant(
        "a command passes what a take-over finds",
        "engine.owner.inputs",
        "        if self._is_settled or not self._must_recover(instance_id):\n",
        "        if True:\n",
    ),
    _mutant(
        "a take-over is over while attempts of it wait for the queue",
        "engine.owner.inputs",
        "self._recovery.is_over and not self._offers.unoffered\n",
        "self._recovery.is_over\n",
    ),
    _mutant(
        "a slot's event passes the rest of a cut decision",
        "engine.owner.offers",
        "        if self.cut:  # a slot",
        "        if False:  # a slot",
    ),
    _mutant(
        "a command on the wrong partition is decided there",
        "engine.commands.feed",
        "        if home_partition == self._partition:",
        "        if True:",
    ),
    _mutant(
        "a signal that nobody awaits is dropped",
        "core.decide.commands.handle",
        "        return record(basis, received)\n",
        "        from sayiir_es.core.draft import nothing\n"
        "        return nothing(basis.instance_id)\n",
    ),
    _mutant(
        "a consumed signal stays buffered",
        "core.nodes.signal",
        '        "b" + name: left or None,\n',
        "",
    ),
    _mutant(
        "moves go on while a pause is asked for",
        "core.decide.owed",
        "    if is_held(header):\n        return False\n    return WAITS",
        "    return WAITS",
    ),
    _mutant(
        "a new owner forgets what was deferred",
        "engine.owner.owner",
        "self._inputs.sources.follow(position.deferred)",
        "self._inputs.sources._followed = position.deferred",
    ),
    _mutant(
        "what was deferred and answered is answered again",
        "core.model.position",
        "    if position.offset not in deferred:",
        "    if True:",
    ),
    _mutant(
        "the answer to a deferred forward takes its origin back",
        "engine.owner.batch",
        "            if position.origin is not None:\n",
        "        if True:\n            if position.origin is not None:\n",
    ),
)

CONSTRUCTS = (
    _mutant(
        "a fork joins before its last branch",
        "core.nodes.fork",
        "Branching(left=left) if left else",
        "Branching(left=left) if left > 1 else",
    ),
    _mutant(
        "a branch's result goes by the name of another",
        "core.nodes.fork",
        'changes["x" + join(body.path, body.branch)] = body.result',
        'changes["x" + join(body.path, body.branch)] = cursor.input',
    ),
    _mutant(
        "an iteration starts from the loop's input",
        "core.nodes.loop",
        "    if wait.iteration == 0:",
        "    if True:",
    ),
    _mutant(
        "a delay ends at its start",
        "core.nodes.delay",
        "due_at=draft.now_ms + node.duration_ms",
        "due_at=draft.now_ms",
    ),
    _mutant(
        "a retry forgets what was stopped by the failure beside it",
        "core.nodes.task",
        "    if not isinstance(cursor.wait, Awaiting | Broken):",
        "    if not isinstance(cursor.wait, Broken):",
    ),
    _mutant(
        "a retry is no new run",
        "core.decide.commands.retry",
        "run=header.run + 1",
        "run=header.run",
    ),
    _mutant(
        "timers fire early",
        "engine.owner.inputs",
        "self.timers.take_due(now_ms)",
        "self.timers.take_due(now_ms + 200)",
    ),
)

SIZES = (
    _mutant(
        "a batch takes more than the log",
        "engine.owner.batch",
        "        if self.records and decision.size > self._room:\n",
        "        if False:\n",
    ),
    _mutant(
        "a command without room in its batch is passed over",
        "engine.owner.inputs",
        "            self._first = self._decide_command\n            return\n",
        "            self.feed.take()\n            return\n",
    ),
    _mutant(
        "an outcome without room in its batch is dropped",
        "engine.owner.inputs",
        "            reports.put_back()\n",
        "",
    ),
)

STORES = (
    _mutant(
        "a partition that a worker cannot serve is not given up",
        "engine.refusals",
        "        self.membership.refuse(frozenset(by_partition))\n",
        "",
    ),
    _mutant(
        "a store's position is ahead of its rows",
        "engine.fold",
        "            self._store.apply(event.instance_id, changes)\n",
        '            changes.pop("h", None)\n'
        "            self._store.apply(event.instance_id, changes)\n",
    ),
    _mutant(
        "a fold passes over the last record of a chunk",
        "engine.fold",
        "enumerate(chunk.records, 1):",
        "enumerate(chunk.records[:-1] or chunk.records, 1):",
    ),
)

TRIES = (
    _mutant(
        "what stands beside a caught error goes on",
        "core.nodes.try_node",
        'dict.fromkeys(rows.keys("c" + join(body.path, BODY)))',
        '{"c" + join(body.path, BODY): None}',
    ),
    _mutant(
        "the outermost try catches an error",
        "core.graph.catching",
        "range(len(segments) - 1, 0, -1)",
        "range(1, len(segments))",
    ),
)

CHECKPOINTS = (
    _mutant(
        "a batch is left out of the digest",
        "engine.owner.batch",
        "digest=extend_digest(before, last, self.records[-1:])",
        "digest=position.digest",
    ),
    _mutant(
        "a late batch is taken into the digest",
        "engine.fold",
        "            self._store.advance(skipped(position, record.offset + 1))\n",
        "            from dataclasses import replace\n"
        "            late = skipped(position, record.offset + 1)\n"
        "            self._store.advance(replace(late, digest=bytes(32)))\n",
    ),
    _mutant(
        "a claim says that it covers more than was folded",
        "engine.owner.claim_records",
        "digest_end=position.offset,",
        "digest_end=position.offset + 1,",
    ),
)

COMPENSATIONS = (
    _mutant(
        "what was completed while the run failed is not undone",
        "core.nodes.task",
        "        if body.compensable:\n",
        '        if body.compensable and _header.compensation == "none":\n',
    ),
    _mutant(
        "what was done first is undone first",
        "core.model.undo_rows",
        "sorted(rows.keys(kind), reverse=True) if",
        "sorted(rows.keys(kind)) if",
    ),
    _mutant(
        "a compensation that failed is said to have undone",
        "core.nodes.compensation",
        "undone = isinstance(cursor.wait, Ended)",
        "undone = True",
    ),
    _mutant(
        "a failed run goes on while it waits to be undone",
        "core.model.headers",
        'header.cancel is not None or header.compensation == "requested"',
        "header.cancel is not None",
    ),
    _mutant(
        "an iteration that can be undone loses what it was given",
        "core.nodes.loop",
        "    if has_undoable(rows, ended):\n",
        "    if False:\n",
    ),
    _mutant(
        "what is to be undone is not found again",
        "core.decide.owed",
        "        return compensation.owed_chains(rows, graph)\n",
        "        return []\n",
    ),
)

ELSEWHERE = (
    _mutant(
        "an outcome counts without the secret of its attempt",
        "core.decide.commands.record_outcome",
        "    if wait.secret_hash and hmac.compare_digest(digest, wait.secret_hash):\n",
        "    if wait.secret_hash:\n",
    ),
    _mutant(
        "a new owner does not wait for a lease",
        "engine.owner.inputs",
        "                self._elsewhere.adopt(instance_id, batch.view(instance_id))\n",
        "                pass\n",
    ),
    _mutant(
        "a lease is shorter than it says",
        "engine.attempts.remote.leases",
        "silent_ms >= lease.handout.lease_ms",
        "silent_ms >= lease.handout.lease_ms // 4",
    ),
)

PERMITS = (
    _mutant(
        "a take-over forgets what is to go back to a limit",
        "engine.flow.permits",
        "            for name, _ in tuple(get_permits(rows)):\n",
        "            for name, _ in ():\n",
    ),
    _mutant(
        "a return is taken for landed before it is sent",
        "engine.flow.permits",
        "        self._send(command, landed)\n",
        "        landed()\n",
    ),
)

CHILDREN = (
    _mutant(
        "a start that is sent again has another command id",
        "core.decide.messages",
        '        command_id=_command_id("start", child.secret),\n',
        '        command_id=_command_id("start", __import__("secrets").token_hex()),\n',
    ),
    _mutant(
        "a take-over forgets the messages that are owed",
        "engine.owner.outbox",
        "= store.messages()\n",
        "= iter(())\n",
    ),
    _mutant(
        "a message is recorded as sent though the log did not take it",
        "engine.command_sender",
        "                failure = result\n                left.append(one)\n",
        "                if one.landed is not None:\n"
        "                    one.landed()\n",
    ),
)

MUTANTS = (
    *(*OWNERSHIP, *ATTEMPTS, *COMMANDS, *CONSTRUCTS),
    *(*SIZES, *STORES, *TRIES, *CHECKPOINTS, *COMPENSATIONS),
    *(*ELSEWHERE, *PERMITS, *CHILDREN),
)
