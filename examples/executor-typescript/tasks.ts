import { setTimeout as sleep } from "node:timers/promises";

export type Task = (input: any, signal: AbortSignal) => unknown;

/** By WORKFLOW/TASK_ID, as the workflow in Python names them. */
export const tasks: Record<string, Task> = {
  "greetings/greet": async (guest: { name: string; seconds: number }, signal) => {
    await sleep(1000 * guest.seconds, undefined, { signal }); // ends when nobody wants it
    return `hello, ${guest.name}`;
  },
  "greetings/shout": (text: string) => `${text.toUpperCase()}!`,
};
