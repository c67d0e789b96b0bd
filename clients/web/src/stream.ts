// The events of one answer as they happen.

import type {
  StreamGenerateRequest,
  StreamGenerateResponse,
} from "./gen/palimpsest/v1/generation_pb.js";
import { advance, emptyAnswer, isFinished, type FinishedAnswer } from "./answer.js";
import { sleep, throwIfAborted, type Attempts } from "./attempts.js";
import { PalimpsestError } from "./errors.js";
import type { AnswerEvent } from "./events.js";
import { ResumableAnswer } from "./resuming.js";

/** Makes one call. */
export type Ask = (
  request: StreamGenerateRequest,
  options: { signal: AbortSignal; timeoutMs: number | undefined },
) => AsyncIterable<StreamGenerateResponse>;

/**
 * An answer, once: iterate over its events, or wait for `answer()`. The request is sent when either
 * begins. Leaving the loop cancels the work on the server.
 */
export class AnswerStream implements AsyncIterable<AnswerEvent> {
  readonly #events: AsyncGenerator<AnswerEvent, void, undefined>;

  constructor(events: AsyncGenerator<AnswerEvent, void, undefined>) {
    this.#events = events;
  }

  [Symbol.asyncIterator](): AsyncGenerator<AnswerEvent, void, undefined> {
    return this.#events;
  }

  /** The whole answer, or candidate 0 of several. */
  async answer(): Promise<FinishedAnswer> {
    let answer = emptyAnswer();
    for await (const event of this) answer = advance(answer, event);
    if (isFinished(answer)) return answer;
    throw new PalimpsestError("internal", "the server ended the answer without completing it");
  }
}

/** The events of an answer, over as many calls as it takes. */
export async function* eventsOf(
  ask: Ask,
  request: StreamGenerateRequest,
  attempts: Attempts,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerEvent, void, undefined> {
  const answer = new ResumableAnswer(request, attempts);
  for (;;) {
    throwIfAborted(signal);
    // Of our own: connect does not end a call whose reader has left.
    const call = new AbortController();
    const abort = () => call.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    let failure: PalimpsestError;
    try {
      const options = { signal: call.signal, timeoutMs: attempts.timeLeftMs() };
      for await (const message of ask(answer.request, options)) {
        const event = answer.take(message);
        if (event !== undefined) yield event;
      }
      return;
    } catch (thrown) {
      throwIfAborted(signal);
      failure = PalimpsestError.from(thrown);
    } finally {
      signal?.removeEventListener("abort", abort);
      call.abort();
    }
    const waitMs = answer.waitMs(failure);
    if (waitMs === undefined) return;
    await sleep(waitMs, signal);
  }
}
