import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Session } from "../session.ts";

/** Asks for the key that the server wants. */
export function KeyDialog({ session }: { session: Session }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  useSignalEffect(() => {
    if (session.keyWanted.value) dialog.current?.showModal();
    else dialog.current?.close();
  });
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="key-title"
      onClose={() => (session.keyWanted.value = false)}
    >
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          session.useKey(input.current?.value.trim() ?? "");
        }}
      >
        <h2 id="key-title">This server wants a key</h2>
        <label>
          <span>API key</span>
          <input ref={input} type="password" autocomplete="off" required />
        </label>
        <p class="settings-hint">Kept until this tab is closed, and sent to this server alone.</p>
        <div class="dialog-row">
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class="main">
            Use it
          </button>
        </div>
      </form>
    </dialog>
  );
}
