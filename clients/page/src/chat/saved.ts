// A conversation as it outlives a reload: what was said, without a single draft.

import { signal } from "@preact/signals";
import {
  emptyAnswer,
  type Answer,
  type ChatMessage,
  type FinishReason,
  type GenerateOptions,
  type ToolCall,
  type Usage,
} from "@palimpsest/client";
import { newRun, type Run, type RunError, type RunState } from "../run.ts";
import { messagesOf, type Exchange } from "./history.ts";
import { isRecord } from "./settings.ts";
import { exchangeOf, textOf, type Turn } from "./turns.ts";

/** Raised when what is kept changes its meaning; what another version kept is not read. */
const VERSION = 1;

export function savedTurns(turns: readonly Turn[]): unknown {
  return {
    version: VERSION,
    turns: turns.map(({ sent, runs, chosen }) => ({
      sent,
      chosen,
      runs: runs.map((run) => savedRun(run.peek())),
    })),
  };
}

/** Reads what was kept; none if it is not what `savedTurns` makes. `nextId` numbers what it finds. */
export function readTurns(kept: unknown, nextId: () => number): Turn[] {
  if (!isRecord(kept) || kept.version !== VERSION) return [];
  const turns: Turn[] = [];
  const before: Exchange[] = [];
  try {
    for (const one of list(kept.turns)) {
      const turn = readTurn(record(one), before, nextId);
      turns.push(turn);
      before.push(exchangeOf(turn));
    }
  } catch {
    return [];
  }
  return turns;
}

function savedRun({ asked, sentAt, state, error, answer }: Run): unknown {
  const { requestId, model, seed, text, thought, toolCalls, finishReason, usage } = answer;
  const [first] = asked.messages;
  return {
    system: first?.role === "system" ? textOf(first) : "",
    options: asked.options,
    sentAt,
    state: state === "running" ? "stopped" : state,
    error,
    answer: { requestId, model, seed, text, thought, toolCalls, finishReason, usage },
  };
}

function readTurn(
  kept: Record<string, unknown>,
  before: readonly Exchange[],
  nextId: () => number,
): Turn {
  const sent = list(kept.sent).map((one) => record(one) as unknown as ChatMessage);
  const runs = list(kept.runs).map((one) => readRun(record(one), before, sent, nextId()));
  if (sent.length === 0 || runs.length === 0 || runs.length > 2) throw new Error("not a turn");
  const chosen = kept.chosen === 1 && runs.length === 2 ? 1 : 0;
  return { id: nextId(), sent, runs: runs.map((run) => signal(run)), chosen };
}

function readRun(
  kept: Record<string, unknown>,
  before: readonly Exchange[],
  sent: readonly ChatMessage[],
  id: number,
): Run {
  const messages = messagesOf(String(kept.system ?? ""), before, sent);
  const options = record(kept.options) as GenerateOptions;
  return {
    ...newRun(id, { messages, options }, Number(kept.sentAt)),
    state: kept.state as RunState,
    error: kept.error === undefined ? undefined : (record(kept.error) as unknown as RunError),
    answer: readAnswer(record(kept.answer)),
  };
}

function readAnswer(kept: Record<string, unknown>): Answer {
  return {
    ...emptyAnswer(),
    requestId: String(kept.requestId),
    model: String(kept.model),
    seed: typeof kept.seed === "bigint" ? kept.seed : undefined,
    text: String(kept.text),
    thought: String(kept.thought),
    toolCalls: list(kept.toolCalls) as ToolCall[],
    finishReason: kept.finishReason as FinishReason | undefined,
    usage: kept.usage as Usage | undefined,
  };
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error("not a list");
  return value;
}

function record(value: unknown): Record<string, unknown> {
  if (!isRecord(value)) throw new Error("not an object");
  return value;
}
