// An executor in TypeScript. docs/executors.md has the protocol; what it runs stands in tasks.ts.
import { encode } from "@msgpack/msgpack";
import avro from "avsc";
import { Kafka, logLevel, Partitioners } from "kafkajs";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { tasks } from "./tasks.js";

type Handout = {
  instance_id: string; run: number; path: string; attempt: number; secret: Buffer; partition: number;
  workflow: string; task_id: string; input: Buffer; payload_limit: number; reason?: string; grace_ms?: number;
};
type Held = Handout & { abort: AbortController; begun: boolean };

const { values: options } = parseArgs({
  options: {
    broker: { type: "string", default: "localhost:9092" },
    app: { type: "string", default: "sayiir" },
    slots: { type: "string", default: "4" },
    schemas: { type: "string", default: "../../schemas" },
  },
});
const app = options.app;
const slots = Number(options.slots);
const id = `typescript/${randomBytes(8).toString("hex")}`;
const held = new Map<string, Held>(); // by token, from the hand-out to the outcome
const types = new Map(["Attempt", "AttemptCancelled"].map(loadSchema)); // by fingerprint
let partitions: number[] = [];
let running = 0;
let stopping = false;

const kafka = new Kafka({ clientId: id, brokers: [options.broker], logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
// This client reads by consumer groups only: a group of its own, which nobody else joins.
const consumer = kafka.consumer({ groupId: `executor-${id}`, maxWaitTimeInMs: 500 });

/** CRC-64-AVRO of a schema's canonical form, little-endian, as records begin with it. */
function fingerprint(canonical: string): string {
  const empty = 0xc15d213aa4d7a795n;
  let sum = empty;
  for (const byte of Buffer.from(canonical)) {
    let term = (sum ^ BigInt(byte)) & 0xffn;
    for (let bit = 0; bit < 8; bit++) term = (term >> 1n) ^ (term & 1n ? empty : 0n);
    sum = (sum >> 8n) ^ term;
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(sum);
  return bytes.toString("hex");
}

function loadSchema(name: string): [string, avro.Type] {
  const text = readFileSync(`${options.schemas}/io.sayiir.attempt.v1.${name}.avsc`, "utf8");
  const type = avro.Type.forSchema(JSON.parse(text));
  return [fingerprint(JSON.stringify(type.schema())), type];
}

/** Hear one record: an attempt, or that one is not wanted any more. */
function take(value: Buffer): void {
  const type = types.get(value.subarray(2, 10).toString("hex"));
  if (type === undefined) return; // of a later build: its owner hands it out again
  const record = type.fromBuffer(value.subarray(10)) as Handout;
  const before = held.get(token(record));
  if (record.reason !== undefined) {
    if (record.reason === "timeout" || record.reason === "lost") held.delete(token(record)); // no outcome
    before?.abort.abort();
    return;
  }
  if (before?.secret.equals(record.secret)) return; // the same again
  before?.abort.abort(); // that hand-out is over
  const handed = { ...record, abort: new AbortController(), begun: false };
  held.set(token(record), handed);
  if (stopping || tasks[name(record)] === undefined || held.size > 2 * slots) {
    void report(handed, "withdrawn");
  } else {
    runWaiting();
  }
}

/** Begin what waits, as far as slots are free. */
function runWaiting(): void {
  for (const handed of held.values()) {
    if (!handed.begun && !stopping && running < slots && tasks[name(handed)]) void run(handed);
  }
}

async function run(handed: Held): Promise<void> {
  handed.begun = true;
  running++;
  try {
    const task = tasks[name(handed)]!;
    const output = (await task(JSON.parse(handed.input.toString()), handed.abort.signal)) ?? null;
    if (Buffer.byteLength(JSON.stringify(output)) > handed.payload_limit) {
      await report(handed, "failed", { error_type: "too_large", error: "its output is too large", retriable: false });
    } else {
      await report(handed, "completed", { output });
    }
  } catch (error) {
    const { name: error_type, message } = error instanceof Error ? error : new Error(String(error));
    if (handed.abort.signal.aborted) await report(handed, "withdrawn"); // as it was told
    else await report(handed, "failed", { error_type, error: message });
  } finally {
    running--;
    runWaiting();
  }
}

/** Tell an outcome, which counts by its secret, and make room for another attempt. */
async function report(handed: Held, result: string, more: object = {}): Promise<void> {
  if (held.get(token(handed)) !== handed) return; // nobody wants it
  const { instance_id, run, path, attempt, partition } = handed;
  const secret = handed.secret.toString("hex");
  const command = {
    command: "RecordOutcome", instance_id, run, path, attempt, secret, result, worker: id,
    command_id: `${secret.slice(0, 16)}:${result}`, ...more,
  };
  await produce("commands", partition, JSON.stringify(command), instance_id);
  held.delete(token(handed));
  await offer(partition);
}

/** Say to the owner of a partition how many more attempts we take. */
async function offer(partition: number): Promise<void> {
  const free = stopping ? 0 : Math.max(0, slots - held.size);
  const request = {
    request: "offer", executor: id, free, slots, tags: [], graphs: [], tasks: Object.keys(tasks),
    ttl_ms: 30_000, stopping,
  };
  await produce("requests", partition, encode(request));
}

/** Renew the leases of all that is held. */
async function tellProgress(): Promise<void> {
  for (const partition of partitions) {
    const attempts = [...held.values()].filter((one) => one.partition === partition);
    const told = attempts.map((one) => [
      one.instance_id, one.run, one.path, one.attempt, one.secret.toString("hex"), null,
    ]);
    if (told.length) await produce("requests", partition, encode({ request: "progress", executor: id, attempts: told }));
  }
}

/** Return when the log has a record; the client repeats it until then. */
async function produce(topic: string, partition: number, value: string | Uint8Array, key: string | null = null) {
  await producer.send({ topic: `${app}.${topic}`, acks: -1, messages: [{ partition, key, value: Buffer.from(value) }] });
}

function token(one: Handout): string {
  return JSON.stringify([one.instance_id, one.run, one.path, one.attempt]);
}

function name(one: Handout): string {
  return `${one.workflow}/${one.task_id}`;
}

/** Take nothing new, hand back what has not begun, and wait for what runs. */
async function drain(): Promise<void> {
  stopping = true;
  await Promise.all(partitions.map(offer));
  await sleep(250); // owners hand out until they have heard that
  await Promise.all([...held.values()].filter((one) => !one.begun).map((one) => report(one, "withdrawn")));
  for (let end = Date.now() + 30_000; running > 0 && Date.now() < end; ) await sleep(50);
  await Promise.all([...held.values()].map((one) => report(one, "withdrawn")));
  process.exit(0);
}

await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic: `${app}.attempts`, fromBeginning: false });
// The ends of the partitions are known before anything is offered.
const joined = new Promise((resolve) => consumer.on(consumer.events.FETCH, resolve));
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ message }) => {
    if (message.key?.toString() === id && message.value) take(message.value); // others' keys: for others
  },
});
await joined;
const admin = kafka.admin();
partitions = (await admin.fetchTopicOffsets(`${app}.commands`)).map((one) => one.partition);
await admin.disconnect();
process.once("SIGTERM", drain);
process.once("SIGINT", drain);
console.log(`${id} takes attempts of ${app}`);
for (let tick = 0; ; tick++) {
  if (tick % 5 === 0) await Promise.all(partitions.map(offer)); // they stand for 30 seconds
  await tellProgress();
  await sleep(2_000);
}
