import type { Run } from "../run.ts";
import { draftText } from "./drafts.ts";

const NOTHING = { text: "", thought: "", call: "" };

/** What is settled and, dimmer, what the draft would add. */
export function AnswerBody({ run }: { run: Run }) {
  const { text, thought, draft } = run.answer;
  const next = draft && run.state === "running" ? draftText(draft) : NOTHING;
  const isThinking = run.state === "running" && text === "" && next.text === "";
  return (
    <>
      {(thought || next.thought) && (
        <details class="chat-thought">
          <summary>{isThinking ? "Thinking" : "Thought"}</summary>
          <p>
            {thought}
            <Draft text={next.thought} />
          </p>
        </details>
      )}
      {isEmpty(run) && <p class="chat-empty">An empty answer.</p>}
      {(text || next.text || next.call) && (
        <div class="chat-text">
          {text}
          <Draft text={next.text} />
          {next.call && <code class="chat-draft chat-drafted-call">{next.call}</code>}
        </div>
      )}
    </>
  );
}

function isEmpty({ state, answer }: Run): boolean {
  return state === "finished" && answer.text === "" && answer.toolCalls.length === 0;
}

/** Not for screen readers: it changes thirty times a second. */
function Draft({ text }: { text: string }) {
  if (text === "") return null;
  return (
    <span class="chat-draft" aria-hidden="true">
      {text}
    </span>
  );
}
