// Writing one run: its request, and what comes back on its way into the signal.

import type { Signal } from "@preact/signals";
import {
  PalimpsestError,
  type CallOptions,
  type Client,
  type DraftOptions,
} from "@palimpsest/client";
import { ended, type Run, type RunError } from "../run.ts";
import { Intake, type Page } from "./intake.ts";

/** All that the contract can tell of every step. */
const DRAFTS: DraftOptions = { entropy: true, maxRateHz: 1_000 };
const CUT_SHORT: RunError = {
  code: "internal",
  message: "the server ended the answer without completing it",
  violations: [],
};

/** Until the run is no longer running; resolves to what it failed with, if it failed. */
export async function write(
  run: Signal<Run>,
  { client, page }: { client: Client; page: Page },
  call: CallOptions,
): Promise<PalimpsestError | undefined> {
  const { messages, options } = run.peek().asked;
  const drafts = page.isHidden() ? false : DRAFTS;
  const intake = new Intake(run, page);
  try {
    for await (const event of client.chat(messages, { ...options, ...call, drafts })) {
      intake.take(event);
    }
    intake.apply((last) => (last.state === "running" ? ended(last, CUT_SHORT) : last));
    return undefined;
  } catch (thrown) {
    const error = PalimpsestError.from(thrown);
    intake.apply((last) => endedBy(last, error));
    return error;
  }
}

function endedBy(run: Run, error: PalimpsestError): Run {
  if (error.code === "canceled") return ended(run);
  const { code, message, violations } = error;
  return ended(run, { code, message, violations });
}
