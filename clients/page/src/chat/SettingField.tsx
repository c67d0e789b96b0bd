import type { Session } from "../session.ts";
import { FORMATS, INFO, unsetValue } from "./fieldInfo.ts";
import { fieldsOf, type FieldName, type Side } from "./settings.ts";

interface Props {
  session: Session;
  side: Side;
  name: FieldName;
  /** A button that fills the field. */
  extra: { words: string; value: () => string } | undefined;
}

/** One setting: its value, its bounds, and what is wrong with it. */
export function SettingField({ session, side, name, extra }: Props) {
  const settings = session.settings.value;
  const fields = fieldsOf(settings, side);
  const info = INFO[name];
  const problem = session.problems.value[side][name];
  const id = `setting-${name}`;
  const hint = name === "formatText" ? FORMATS[fields.formatKind]?.hint : info.hint;
  const differs = side === "b" && settings.b[name] !== undefined;
  const field = {
    id,
    value: fields[name],
    "aria-describedby": `${id}-hint`,
    "aria-invalid": problem !== undefined,
    onInput: (event: { currentTarget: { value: string } }) =>
      session.set(side, name, event.currentTarget.value),
  };
  return (
    <div class={`settings-field ${info.isLong ? "settings-long" : ""}`}>
      <label for={id}>
        {info.label}
        {differs && <span class="settings-differs"> differs</span>}
      </label>
      <div class="settings-value">
        {info.choices ? (
          <select {...field}>
            {info.choices.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        ) : info.isLong ? (
          <textarea
            {...field}
            rows={name === "tools" ? 5 : 2}
            spellcheck={name === "system"}
            placeholder={name === "formatText" ? FORMATS[fields.formatKind]?.example : ""}
          />
        ) : (
          <input
            {...field}
            inputMode="decimal"
            autocomplete="off"
            placeholder={unsetValue(name, session.model.value)}
          />
        )}
        {extra && (
          <button
            type="button"
            class="quiet"
            onClick={() => session.set(side, name, extra.value())}
          >
            {extra.words}
          </button>
        )}
      </div>
      <p id={`${id}-hint`} class="settings-hint">
        {problem !== undefined && <strong class="settings-problem">{problem} </strong>}
        {hint}
      </p>
    </div>
  );
}
