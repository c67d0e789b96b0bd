import type { Session } from "../session.ts";
import { INFO } from "./fieldInfo.ts";
import { spoken, type FieldName, type Side } from "./settings.ts";

/** What is set, in a word each; pressing one unsets it. */
export function SettingChips({ session, onOpen }: { session: Session; onOpen: () => void }) {
  const settings = session.settings.value;
  const sides: Side[] = settings.comparing ? ["a", "b"] : ["a"];
  const chips = sides.flatMap((side) => spoken(settings, side).map((name) => ({ side, name })));
  if (chips.length === 0 && !settings.comparing) return null;
  return (
    <ul class="composer-chips" aria-label="Settings in use">
      {settings.comparing && (
        <li>
          <button type="button" class="chip" onClick={onOpen}>
            comparing two runs
          </button>
        </li>
      )}
      {chips.map((chip) => (
        <Chip key={chip.side + chip.name} session={session} {...chip} />
      ))}
    </ul>
  );
}

function Chip({ session, side, name }: { session: Session; side: Side; name: FieldName }) {
  const { comparing, a, b } = session.settings.value;
  const value = (side === "b" ? b[name] : undefined) ?? a[name];
  const words = LONG.has(name) ? INFO[name].label : `${INFO[name].label} ${value || "unset"}`;
  const shown = comparing ? `${side.toUpperCase()}: ${words}` : words;
  return (
    <li>
      <button
        type="button"
        class="chip"
        aria-label={`Unset ${shown}`}
        onClick={() => session.set(side, name, side === "b" ? a[name] : "")}
      >
        {shown} <span aria-hidden="true">×</span>
      </button>
    </li>
  );
}

/** Fields of which the value does not fit. */
const LONG: ReadonlySet<FieldName> = new Set(["system", "tools", "stopSequences"]);
