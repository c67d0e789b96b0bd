// From a conversation as it was led to the messages that the model is given. Pure.

import type { Answer, ChatMessage, ToolCall } from "@palimpsest/client";

/** What was said, and what came back; undefined if nothing did. */
export interface Exchange {
  /** One message of the user, or the results of the calls before. */
  sent: readonly ChatMessage[];
  answer: Pick<Answer, "text" | "thought" | "toolCalls"> | undefined;
}

/** Told to the model in place of a result, as every call must have one. */
const NO_RESULT = { error: "no result was given" };

/**
 * The messages of a request: what came before, and what is sent now.
 *
 * A message of the user that was never answered is left out, so that it does not run into the next.
 */
export function messagesOf(
  system: string,
  before: readonly Exchange[],
  sent: readonly ChatMessage[],
): ChatMessage[] {
  const messages: ChatMessage[] = system.trim() ? [{ role: "system", content: system }] : [];
  let waiting: readonly ToolCall[] = [];
  const say = (said: readonly ChatMessage[]) => {
    if (said[0]?.role !== "tool") messages.push(...waiting.map(unanswered));
    messages.push(...said);
    waiting = [];
  };
  for (const exchange of before) {
    const { answer } = exchange;
    if (!isSomething(answer)) {
      if (exchange.sent[0]?.role === "tool") say(exchange.sent);
      continue;
    }
    say(exchange.sent);
    messages.push(spoken(answer));
    waiting = answer.toolCalls;
  }
  say(sent);
  return messages;
}

function isSomething(answer: Exchange["answer"]): answer is NonNullable<Exchange["answer"]> {
  return answer !== undefined && (answer.text !== "" || answer.toolCalls.length > 0);
}

/** Thoughts belong to the calls that they led to; the template shows those of the open turn. */
function spoken({ text, thought, toolCalls }: NonNullable<Exchange["answer"]>): ChatMessage {
  if (toolCalls.length === 0) return { role: "assistant", content: text };
  return { role: "assistant", content: text, thought, toolCalls };
}

function unanswered({ id, name }: ToolCall): ChatMessage {
  return { role: "tool", toolCallId: id, name, response: NO_RESULT };
}
