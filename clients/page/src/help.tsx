import type { Signal } from "@preact/signals";
import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";

const SHORTCUTS: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    "Message",
    [
      ["Enter", "send"],
      ["Shift Enter", "new line"],
      ["↑ ↓", "what was asked before, in an empty field"],
      ["Esc", "stop all that is being written"],
    ],
  ],
  [
    "Step slider",
    [
      ["← →", "a step back, a step on"],
      ["Page Up, Page Down", "the neighbouring canvas"],
      ["Home, End", "the first step; the newest, and follow it"],
      ["Space", "play, pause"],
    ],
  ],
  ["Page", [["?", "this help"]]],
];

/** The keys of the page. */
export function Help({ isOpen }: { isOpen: Signal<boolean> }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useSignalEffect(() => {
    if (isOpen.value) dialog.current?.showModal();
    else dialog.current?.close();
  });
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="help-title"
      onClose={() => (isOpen.value = false)}
    >
      <h2 id="help-title">Shortcuts</h2>
      {SHORTCUTS.map(([place, keys]) => (
        <section key={place}>
          <h3>{place}</h3>
          <dl class="help-keys">
            {keys.map(([key, does]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
      <div class="dialog-row">
        <button type="button" class="main" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
    </dialog>
  );
}
