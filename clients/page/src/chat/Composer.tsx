import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Session } from "../session.ts";
import { pictures, type Picture } from "./images.ts";
import { recalled, type Recall } from "./recall.ts";
import { SettingChips } from "./SettingChips.tsx";
import { Thumbnail } from "./Thumbnail.tsx";
import { promptsOf } from "./turns.ts";

/** Where messages are written. `onSettings` is called when the settings are asked for. */
export function Composer(props: {
  session: Session;
  isSettingsOpen: boolean;
  onSettings: (open: boolean) => void;
}) {
  const { session, isSettingsOpen, onSettings } = props;
  const text = useSignal("");
  const images = useSignal<readonly Picture[]>([]);
  const recall = useRef<Recall | undefined>(undefined);
  const isRunning = session.running.value > 0;

  const send = () => {
    const written = text.value.trim();
    if (isRunning || (written === "" && images.value.length === 0)) return;
    const parts = written === "" ? [] : [{ text: written }];
    // Gemma is asked about what it has seen: pictures before the text
    const content = images.value.length ? [...images.value, ...parts] : written;
    if (!session.send(content)) return onSettings(true);
    text.value = "";
    images.value = [];
    recall.current = undefined;
  };
  const add = async (files: Iterable<File>) => {
    const more = await pictures(files);
    images.value = [...images.value, ...more];
  };
  const goBack = (event: KeyboardEvent, step: -1 | 1) => {
    const isRecalling = recall.current !== undefined;
    if (text.value !== "" && !isRecalling) return;
    const found = recalled(promptsOf(session.turns.value), recall.current, step, text.value);
    if (found === undefined) return;
    event.preventDefault();
    recall.current = found.recall;
    text.value = found.text;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "ArrowUp") goBack(event, -1);
    else if (event.key === "ArrowDown") goBack(event, 1);
  };

  return (
    <form
      class="composer"
      aria-label="Composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void add(event.dataTransfer?.files ?? []);
      }}
    >
      <SettingChips session={session} onOpen={() => onSettings(true)} />
      <Pictures
        images={images.value}
        onRemove={(at) => {
          images.value = images.value.filter((_, i) => i !== at);
        }}
      />
      <textarea
        aria-label="Message"
        aria-describedby="composer-hint"
        placeholder="Ask, or press ↑ for what you asked before"
        rows={2}
        value={text}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          recall.current = undefined;
        }}
        onKeyDown={onKeyDown}
        onPaste={(event) => void add(event.clipboardData?.files ?? [])}
      />
      <div class="composer-row">
        <FileButton onFiles={add} />
        <button
          type="button"
          class={`quiet ${isWrong(session) ? "composer-wrong" : ""}`}
          aria-expanded={isSettingsOpen}
          onClick={() => onSettings(!isSettingsOpen)}
        >
          Settings
        </button>
        <span id="composer-hint" class="composer-hint">
          <kbd>Enter</kbd> sends · <kbd>Shift</kbd> <kbd>Enter</kbd> new line · <kbd>Esc</kbd> stops
        </span>
        {isRunning ? (
          <button type="button" class="main" onClick={() => session.stop()}>
            Stop
          </button>
        ) : (
          <button
            type="submit"
            class="main"
            disabled={text.value.trim() === "" && images.value.length === 0}
          >
            Send
          </button>
        )}
      </div>
    </form>
  );
}

/** Whether something is wrong with the settings. */
function isWrong(session: Session): boolean {
  const { a, b } = session.problems.value;
  return [a, b].some((problems) => Object.values(problems).some((one) => one !== undefined));
}

function Pictures(props: { images: readonly Picture[]; onRemove: (at: number) => void }) {
  if (props.images.length === 0) return null;
  return (
    <ul class="composer-pictures" aria-label="Images and videos">
      {props.images.map((picture, i) => (
        <li key={i}>
          <Thumbnail shown={picture} name={`${"image" in picture ? "image" : "video"} ${i + 1}`} />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove image ${i + 1}`}
            onClick={() => props.onRemove(i)}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

function FileButton(props: { onFiles: (files: Iterable<File>) => Promise<void> }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="quiet" onClick={() => input.current?.click()}>
        Image
      </button>
      <input
        ref={input}
        class="hidden"
        type="file"
        accept="image/*,video/mp4,video/webm"
        multiple
        tabIndex={-1}
        aria-label="Image files"
        onChange={(event) => {
          const field = event.currentTarget;
          void props.onFiles([...(field.files ?? [])]);
          field.value = "";
        }}
      />
    </>
  );
}
