import { useSignal } from "@preact/signals";
import type { ChatMessage, ToolCall } from "@palimpsest/client";
import { EXAMPLE_RESULTS } from "./examples.ts";
import { jsonObject, resultOf } from "./results.ts";

interface Props {
  calls: readonly ToolCall[];
  /** Given where results are wanted. */
  onResults: ((results: readonly ChatMessage[]) => void) | undefined;
}

/** The calls of an answer and, while the model waits for them, room for their results. */
export function ToolCalls({ calls, onResults }: Props) {
  const typed = useSignal<Readonly<Record<string, string>>>({});
  if (calls.length === 0) return null;
  const written = ({ id, name }: ToolCall) => typed.value[id] ?? EXAMPLE_RESULTS[name] ?? "";
  return (
    <form
      class="chat-calls"
      aria-label="Tool calls"
      onSubmit={(event) => {
        event.preventDefault();
        onResults?.(calls.map((call) => resultOf(call, written(call))));
      }}
    >
      {calls.map((call) => (
        <div key={call.id} class="chat-call">
          <h4>
            <code>{call.name}</code>
          </h4>
          <Arguments of={call.arguments} />
          {onResults && (
            <ResultField
              call={call}
              value={written(call)}
              onInput={(value) => (typed.value = { ...typed.value, [call.id]: value })}
            />
          )}
        </div>
      ))}
      {onResults && (
        <button type="submit" class="main">
          Send results
        </button>
      )}
    </form>
  );
}

function Arguments({ of }: { of: Record<string, unknown> }) {
  return (
    <dl>
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <code>{JSON.stringify(value)}</code>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function ResultField(props: { call: ToolCall; value: string; onInput: (value: string) => void }) {
  const { call, value, onInput } = props;
  return (
    <label>
      <span>
        Result of {call.name}, sent as {jsonObject(value) ? "JSON" : "text"}
      </span>
      <textarea
        rows={2}
        spellcheck={false}
        value={value}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </label>
  );
}
