// A conversation as the page holds it.

import type { Signal } from "@preact/signals";
import type { ChatMessage, ContentPart } from "@palimpsest/client";
import type { Run } from "../run.ts";
import type { Exchange } from "./history.ts";

/** What was said once, and what came of it. A run is a signal, as it changes with every step. */
export interface Turn {
  /** Unique on the page. */
  id: number;
  /** One message of the user, or the results of the calls before. */
  sent: readonly ChatMessage[];
  /** One, or two that are compared. */
  runs: readonly Signal<Run>[];
  /** With which of `runs` the conversation goes on. */
  chosen: number;
}

export function exchangeOf(turn: Turn): Exchange {
  return { sent: turn.sent, answer: turn.runs[turn.chosen]?.peek().answer };
}

/** Whether its second run rewrites a part of an answer that is there. */
export function isRewrite(turn: Turn): boolean {
  return turn.runs[1]?.peek().asked.options.canvas !== undefined;
}

/** What the user asked, oldest first. */
export function promptsOf(turns: readonly Turn[]): string[] {
  const asked = turns.flatMap(({ sent }) => sent.filter((message) => message.role === "user"));
  return asked.map((message) => textOf(message)).filter(Boolean);
}

export function textOf({ content }: ChatMessage): string {
  if (content === undefined || typeof content === "string") return content ?? "";
  return content.map((part) => ("text" in part ? part.text : "")).join("");
}

/** A part of a message that is no text. */
export type Shown = Exclude<ContentPart, { text: string }>;

/** Images and videos. */
export function shownIn({ content }: ChatMessage): Shown[] {
  if (content === undefined || typeof content === "string") return [];
  return content.flatMap((part) => ("text" in part ? [] : [part]));
}
