import { useSignal } from "@preact/signals";
import type { Run } from "../run.ts";
import { copy } from "./copy.ts";

/** How an answer ended and what it took. */
export function AnswerNote({ run, onRetry }: { run: Run; onRetry: (() => void) | undefined }) {
  const { finishReason, usage, seed } = run.answer;
  const facts = [finishReason ?? (run.state === "stopped" ? "stopped by you" : "")];
  if (usage) {
    facts.push(
      count(usage.outputTokens, "token"),
      count(usage.canvases, usage.canvases === 1 ? "canvas" : "canvase"),
      count(usage.denoisingSteps, "step"),
    );
  }
  return (
    <p class="chat-note">
      {facts.filter(Boolean).map((fact) => (
        <span key={fact}>{fact}</span>
      ))}
      {seed !== undefined && (
        <span>
          seed {String(seed)} <CopyButton text={String(seed)} name="Copy the seed" />
        </span>
      )}
      {onRetry && (
        <button type="button" class="quiet" onClick={onRetry}>
          {run.state === "stopped" ? "Try again" : "Again"}
        </button>
      )}
    </p>
  );
}

function CopyButton({ text, name }: { text: string; name: string }) {
  const isDone = useSignal(false);
  return (
    <button
      type="button"
      class="quiet"
      aria-label={name}
      onClick={() => void copy(text).then(() => (isDone.value = true))}
    >
      {isDone.value ? "copied" : "copy"}
    </button>
  );
}

function count(number: number, what: string): string {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}
