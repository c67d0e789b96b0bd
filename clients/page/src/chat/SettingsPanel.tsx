import { useSignal } from "@preact/signals";
import type { Session } from "../session.ts";
import { drawnSeed } from "./options.ts";
import { EXAMPLE_TOOLS } from "./examples.ts";
import { SettingField } from "./SettingField.tsx";
import { fieldsOf, type FieldName, type Side } from "./settings.ts";

const GROUPS: readonly (readonly [string, readonly FieldName[]])[] = [
  ["Prompt", ["system", "thinking", "thinkingBudget", "tools"]],
  ["Length and work", ["maxOutputTokens", "maxDenoisingSteps", "effort"]],
  ["The draw", ["seed", "temperature", "topP", "topK", "minP"]],
  ["Shape", ["stopSequences", "formatKind", "formatText"]],
];

/** Everything that a request can ask for. */
export function SettingsPanel({ session, onClose }: { session: Session; onClose: () => void }) {
  const side = useSignal<Side>("a");
  const { comparing } = session.settings.value;
  const shown: Side = comparing ? side.value : "a";
  const fields = fieldsOf(session.settings.value, shown);
  const extras: Partial<Record<FieldName, { words: string; value: () => string }>> = {
    seed: { words: "Draw a new one", value: drawnSeed },
    tools: { words: "Example tools", value: () => EXAMPLE_TOOLS },
  };
  return (
    <aside class="settings" aria-labelledby="settings-title">
      <header class="settings-head">
        <h2 id="settings-title">Settings</h2>
        <button type="button" class="quiet" onClick={() => session.reset()}>
          Reset
        </button>
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
      </header>
      <ComparePart session={session} side={shown} onSide={(chosen) => (side.value = chosen)} />
      {GROUPS.map(([title, names]) => (
        <fieldset key={title} class="settings-group">
          <legend>{title}</legend>
          {names
            .filter((name) => name !== "formatText" || fields.formatKind !== "")
            .map((name) => (
              <SettingField
                key={name}
                session={session}
                side={shown}
                name={name}
                extra={extras[name]}
              />
            ))}
        </fieldset>
      ))}
    </aside>
  );
}

function ComparePart(props: { session: Session; side: Side; onSide: (side: Side) => void }) {
  const { session, side, onSide } = props;
  const settings = session.settings.value;
  return (
    <fieldset class="settings-group">
      <legend>Compare</legend>
      <label class="settings-check">
        <input
          type="checkbox"
          checked={settings.comparing}
          onChange={(event) => session.compare(event.currentTarget.checked)}
        />
        Answer every message twice, side by side
      </label>
      {settings.comparing && (
        <>
          <div class="segments" role="radiogroup" aria-label="Settings of run">
            {(["a", "b"] as const).map((one) => (
              <label key={one}>
                <input
                  type="radio"
                  name="settings-side"
                  checked={side === one}
                  onChange={() => onSide(one)}
                />
                <span>Run {one.toUpperCase()}</span>
              </label>
            ))}
          </div>
          <p class="settings-hint">
            {Object.keys(settings.b).length > 0
              ? "Run B differs in the marked fields; both have one seed unless it is one of them."
              : "Run B has another seed. Change fields of run B to compare settings instead."}
          </p>
        </>
      )}
    </fieldset>
  );
}
