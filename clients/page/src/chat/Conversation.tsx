import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Session } from "../session.ts";
import { EXAMPLES, type Example } from "./examples.ts";
import type { FieldName } from "./settings.ts";
import { TurnView } from "./TurnView.tsx";

/** All that was said, the newest at the end. */
export function Conversation({ session }: { session: Session }) {
  const turns = session.turns.value;
  return (
    <section class="chat" aria-labelledby="chat-title">
      <h2 id="chat-title" class="hidden">
        Conversation
      </h2>
      <FollowsEnd count={turns.length}>
        {turns.length === 0 ? <Beginning session={session} /> : null}
        {turns.map((turn, i) => (
          <TurnView key={turn.id} session={session} turn={turn} next={turns[i + 1]} />
        ))}
        {turns.length > 0 && (
          <p class="chat-end">
            <button type="button" class="quiet" onClick={() => session.clear()}>
              Clear the conversation
            </button>
          </p>
        )}
      </FollowsEnd>
      <State session={session} />
    </section>
  );
}

/** How near to its end, in pixels, the log counts as being at it. */
const NEAR = 80;

/** Keeps the end in view while it grows, unless the reader has gone elsewhere. */
function FollowsEnd({ count, children }: { count: number; children: ComponentChildren }) {
  const log = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    isAtEnd.current = true;
    if (count > 0) end.current?.scrollIntoView({ block: "nearest" });
  }, [count]);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      if (isAtEnd.current) log.current?.scrollTo({ top: log.current.scrollHeight });
    });
    observer.observe(content.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <div
      class="chat-log"
      ref={log}
      onScroll={({ currentTarget: at }) => {
        isAtEnd.current = at.scrollHeight - at.scrollTop - at.clientHeight < NEAR;
      }}
    >
      <div class="chat-turns" ref={content}>
        {children}
        <div class="chat-bottom" ref={end} />
      </div>
    </div>
  );
}

/** Below this many weights, a model can do little more than the examples. */
const FEW_WEIGHTS = 100_000_000n;

function Beginning({ session }: { session: Session }) {
  const isSmall = (session.model.value?.parameterCount ?? FEW_WEIGHTS) < FEW_WEIGHTS;
  const ask = ({ prompt, fields = {} }: Example) => {
    for (const [name, value] of Object.entries(fields)) {
      session.set("a", name as FieldName, value);
    }
    session.send(prompt);
  };
  return (
    <div class="chat-beginning">
      <p>
        This model writes a whole canvas of tokens at once and denoises it, step by step, until it
        stands still. Ask for something, and watch.
      </p>
      {isSmall && (
        <p class="chat-small">
          The model that is served here is a small one. It can do what is below and little more, and
          best as the first thing that it is asked.
        </p>
      )}
      <ul aria-label="Examples">
        {EXAMPLES.map((example) => (
          <li key={example.prompt}>
            <button type="button" class="chat-example" onClick={() => ask(example)}>
              {example.prompt}
              {example.needs && <span class="chat-needs"> with {example.needs}</span>}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** For those who cannot see it: whether something is being written, never what. */
function State({ session }: { session: Session }) {
  const last = session.turns.value.at(-1);
  const states = last?.runs.map((run) => run.value.state) ?? [];
  return (
    <p role="status" class="hidden">
      {session.running.value > 0
        ? "The answer is being written"
        : states.length > 0 && `The answer is ${states.join(" and ")}`}
    </p>
  );
}
