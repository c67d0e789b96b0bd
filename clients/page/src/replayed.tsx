import { RunView } from "./canvas/RunView.tsx";
import { AnswerBody } from "./chat/AnswerBody.tsx";
import { AnswerNote } from "./chat/AnswerNote.tsx";
import { ToolCalls } from "./chat/ToolCalls.tsx";
import { textOf } from "./chat/turns.ts";
import type { Run } from "./run.ts";

/** The page of a replay: one run, without a server. */
export function Replayed({ run }: { run: Run }) {
  const asked = run.asked.messages.at(-1);
  return (
    <>
      <header class="head">
        <h1>Palimpsest</h1>
        <p class="head-model">
          <strong>{run.answer.model}</strong>
          <span>a replay of {new Date(run.sentAt).toLocaleString()}</span>
        </p>
      </header>
      <main class="page-main page-replay">
        <section class="chat" aria-label="Conversation">
          <div class="chat-turns">
            <article class="chat-turn">
              {asked && (
                <div class="chat-said">
                  <p>{textOf(asked)}</p>
                </div>
              )}
              <AnswerBody run={run} />
              <ToolCalls calls={run.answer.toolCalls} onResults={undefined} />
              <AnswerNote run={run} onRetry={undefined} />
            </article>
          </div>
        </section>
        <section id="shown" class="page-shown" aria-label="Run">
          <RunView run={run} />
        </section>
      </main>
    </>
  );
}
