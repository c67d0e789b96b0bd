// The tries of one call: whether and when there is another.

import { PalimpsestError } from "./errors.js";

/** Before the first further try, at most. */
const FIRST_WAIT_MS = 100;
/** Before any, at most, unless the server asks for more. */
const LONGEST_WAIT_MS = 2_000;

/** One call until it succeeds, its time is up, or it failed too often in a row. */
export class Attempts {
  readonly #retries: number;
  readonly #endMs: number | undefined;
  #failures = 0;
  #backoffMs = FIRST_WAIT_MS;

  /** `timeoutMs` counts from now and is for all tries together. */
  constructor(retries: number, timeoutMs: number | undefined) {
    this.#retries = retries;
    this.#endMs = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
  }

  /** For the try that is made now. Throws once the time is up. */
  timeLeftMs(): number | undefined {
    if (this.#endMs === undefined) return undefined;
    const leftMs = this.#endMs - performance.now();
    // To Connect, 0 would mean no limit.
    if (leftMs <= 0) throw new PalimpsestError("deadline_exceeded", "the call's time is up");
    return Math.ceil(leftMs);
  }

  /** Note that the call has come further: earlier failures no longer count. */
  succeed(): void {
    this.#failures = 0;
    this.#backoffMs = FIRST_WAIT_MS;
  }

  /**
   * Milliseconds until the next try after `error`, which is thrown if there is to be none.
   *
   * As long as the server says, and a backoff on top that doubles with each failure; by chance up
   * to half of it is spared, so that clients of one server do not come back all at once.
   */
  waitMs(error: PalimpsestError): number {
    if (error.code !== "unavailable" || this.#failures >= this.#retries) throw error;
    const backoffMs = this.#backoffMs * (0.5 + Math.random() / 2);
    const waitMs = (error.retryAfterMs ?? 0) + backoffMs;
    if (this.#endMs !== undefined && performance.now() + waitMs >= this.#endMs) throw error;
    this.#failures += 1;
    this.#backoffMs = Math.min(2 * this.#backoffMs, LONGEST_WAIT_MS);
    return waitMs;
  }
}

/** Throws `canceled` as soon as `signal` is aborted. */
export async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  await new Promise<void>((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake);
  });
  throwIfAborted(signal);
}

/** Throws `canceled` if `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new PalimpsestError("canceled", "the call was aborted", { cause: signal.reason });
  }
}
