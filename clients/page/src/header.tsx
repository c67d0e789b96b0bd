import type { Signal } from "@preact/signals";
import type { Model } from "@palimpsest/client";
import type { Session } from "./session.ts";
import { THEMES, type Theme } from "./theme.ts";

interface Props {
  session: Session;
  theme: Signal<Theme>;
  onHelp: () => void;
}

export function Header({ session, theme, onHelp }: Props) {
  const model = session.model.value;
  return (
    <header class="head">
      <h1>Palimpsest</h1>
      <p class="head-model" title={model && detailsOf(model)}>
        {model ? (
          <>
            <strong>{model.name}</strong>
            <span>canvas of {model.canvasLength}</span>
            <span>context of {model.maxContextTokens.toLocaleString("en")}</span>
            <span class="head-device">
              {model.device}, {model.dtype}
            </span>
          </>
        ) : (
          "looking for the model"
        )}
      </p>
      <ThemeSwitch theme={theme} />
      <button type="button" class="quiet" onClick={onHelp}>
        Shortcuts
      </button>
    </header>
  );
}

function ThemeSwitch({ theme }: { theme: Signal<Theme> }) {
  return (
    <div class="segments" role="radiogroup" aria-label="Theme">
      {THEMES.map((one) => (
        <label key={one}>
          <input
            type="radio"
            name="theme"
            checked={theme.value === one}
            onChange={() => (theme.value = one)}
          />
          <span>{one}</span>
        </label>
      ))}
    </div>
  );
}

function detailsOf(model: Model): string {
  const { vocabularySize, parameterCount } = model;
  return `${parameterCount.toLocaleString("en")} weights, a vocabulary of ${vocabularySize.toLocaleString("en")}`;
}

/** Says that the server cannot be reached. */
export function Trouble({ session }: { session: Session }) {
  if (session.trouble.value === "") return null;
  return (
    <div class="trouble" role="alert">
      <p>{session.trouble}</p>
      <button type="button" onClick={() => void session.connect()}>
        Try again
      </button>
    </div>
  );
}
