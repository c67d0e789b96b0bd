import type { ChatMessage } from "@palimpsest/client";
import type { Session } from "../session.ts";
import { AnswerView } from "./AnswerView.tsx";
import { Thumbnail } from "./Thumbnail.tsx";
import { shownIn, textOf, type Shown, type Turn } from "./turns.ts";

interface Props {
  session: Session;
  turn: Turn;
  /** The turn after it; undefined for the last. */
  next: Turn | undefined;
}

/** What was said once, and what came of it. */
export function TurnView({ session, turn, next }: Props) {
  const isShown = session.shown.value?.id === turn.id;
  return (
    <article class={`chat-turn ${isShown ? "chat-shown" : ""}`}>
      {turn.sent.map((message, i) =>
        message.role === "tool" ? (
          <Result key={i} message={message} />
        ) : (
          <Said key={i} message={message} />
        ),
      )}
      {turn.runs.map((run, i) => (
        <AnswerView key={run.peek().id} session={session} turn={turn} at={i} next={next} />
      ))}
    </article>
  );
}

function Said({ message }: { message: ChatMessage }) {
  const shown = shownIn(message);
  const text = textOf(message);
  return (
    <div class="chat-said">
      <h3 class="hidden">You</h3>
      {shown.map((part, i) => (
        <Thumbnail key={i} shown={part} name={`${nameOf(part)} ${i + 1} of your message`} />
      ))}
      {text && <p>{text}</p>}
    </div>
  );
}

function nameOf(part: Shown): string {
  return "image" in part ? "image" : "video";
}

function Result({ message }: { message: Extract<ChatMessage, { role: "tool" }> }) {
  return (
    <div class="chat-result">
      <h3>
        result of <code>{message.name}</code>
      </h3>
      <pre>{message.response ? JSON.stringify(message.response) : textOf(message)}</pre>
    </div>
  );
}
