import { useComputed } from "@preact/signals";
import type { Run } from "../run.ts";
import type { Session } from "../session.ts";
import { AnswerBody } from "./AnswerBody.tsx";
import { AnswerNote } from "./AnswerNote.tsx";
import { Failure } from "./Failure.tsx";
import { Further } from "./Further.tsx";
import { ToolCalls } from "./ToolCalls.tsx";
import { isRewrite, type Turn } from "./turns.ts";

interface Props {
  session: Session;
  turn: Turn;
  /** Which run of the turn. */
  at: number;
  next: Turn | undefined;
}

/** One run in the conversation, while it is written and after. */
export function AnswerView({ session, turn, at, next }: Props) {
  const signal = turn.runs[at]!;
  const run = signal.value;
  const isLast = next === undefined;
  const isOn = turn.chosen === at;
  const isBusy = session.running.value > 0;
  return (
    <section class="chat-answer" aria-labelledby={`chat-answer-${run.id}`}>
      <Head session={session} turn={turn} at={at} run={run} isLast={isLast} />
      <AnswerBody run={run} />
      <ToolCalls
        calls={run.answer.toolCalls}
        onResults={
          isLast && isOn && run.state !== "running" && !isBusy
            ? (results) => session.answer(results)
            : undefined
        }
      />
      {run.state === "failed" && run.error && (
        <Failure error={run.error} onRetry={isBusy ? undefined : () => session.retry(turn)} />
      )}
      {run.state !== "running" && (
        <AnswerNote
          run={run}
          onRetry={
            isLast && !isBusy && run.state !== "failed" ? () => session.retry(turn) : undefined
          }
        />
      )}
      {run.state === "finished" && (
        <Further run={run} onRewrite={(asked) => session.rewrite(turn, at, asked)} />
      )}
    </section>
  );
}

function Head(props: { session: Session; turn: Turn; at: number; run: Run; isLast: boolean }) {
  const { session, turn, at, run, isLast } = props;
  const isShown = useComputed(() => session.shown.value?.id === turn.id);
  const names = isRewrite(turn) ? ["Before", "Rewritten"] : ["Run A", "Run B"];
  const isOne = turn.runs.length === 1;
  return (
    <header class="chat-answer-head">
      <h3 id={`chat-answer-${run.id}`}>{isOne ? run.answer.model || "Model" : names[at]}</h3>
      {run.state === "running" && <span class="chat-writing">writing</span>}
      {!isOne && isLast && (
        <button
          type="button"
          class="quiet"
          aria-pressed={turn.chosen === at}
          onClick={() => session.choose(turn, at)}
        >
          Go on with this one
        </button>
      )}
      {at === 0 && (
        <button
          type="button"
          class="quiet chat-show"
          aria-pressed={isShown}
          onClick={() => {
            session.select(turn);
            document.getElementById("shown")?.scrollIntoView({ block: "nearest" });
          }}
        >
          Show canvases
        </button>
      )}
    </header>
  );
}
