import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import type { Asked } from "../run.ts";
import { LANGUAGES, snippet, type Language } from "./snippet.ts";
import "./snippets.css";

const NAMES = Object.keys(LANGUAGES) as Language[];
const DEFAULT_URL = "http://127.0.0.1:8080";

/** The request as code that makes it, to be copied: Python, curl, TypeScript, Go. */
export function Snippets({ asked }: { asked: Asked }) {
  const language = useSignal<Language>("python");
  const note = useSignal("");
  const shown = useRef<HTMLPreElement>(null);
  const code = useMemo(() => written(language.value, asked), [language.value, asked]);
  const copyShown = async () => {
    note.value = (await copy(code, shown.current!)) ? "Copied" : "Selected: copy it by keyboard";
  };
  return (
    <div class="snippets" role="group" aria-label="Code">
      <div class="snippets-bar">
        {NAMES.map((name) => (
          <button
            type="button"
            class="quiet"
            key={name}
            aria-pressed={language.value === name}
            onClick={() => {
              language.value = name;
              note.value = "";
            }}
          >
            {LANGUAGES[name]}
          </button>
        ))}
        <span class="snippets-note" role="status">
          {note.value}
        </span>
        <button type="button" class="quiet" onClick={copyShown}>
          Copy
        </button>
      </div>
      <pre class="snippets-code" ref={shown} tabIndex={0} aria-label={LANGUAGES[language.value]}>
        <code>{code}</code>
      </pre>
    </div>
  );
}

function written(language: Language, asked: Asked): string {
  try {
    return snippet(language, asked, serverUrl());
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Where the page came from; one that was opened from a file has no server. */
function serverUrl(): string {
  const here = new URL(".", document.baseURI);
  return here.protocol === "file:" ? DEFAULT_URL : here.href.replace(/\/$/, "");
}

/** Whether it could be copied; if not, it is selected: only pages of safe origins may write. */
async function copy(text: string, element: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    document.getSelection()?.selectAllChildren(element);
    return false;
  }
}
