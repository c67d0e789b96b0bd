import { useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Compare } from "./canvas/Compare.tsx";
import { RunView } from "./canvas/RunView.tsx";
import { Composer } from "./chat/Composer.tsx";
import { Conversation } from "./chat/Conversation.tsx";
import { KeyDialog } from "./chat/KeyDialog.tsx";
import { SettingsPanel } from "./chat/SettingsPanel.tsx";
import type { Turn } from "./chat/turns.ts";
import { Header, Trouble } from "./header.tsx";
import { Help } from "./help.tsx";
import type { Session } from "./session.ts";
import type { Theme } from "./theme.ts";

/** The whole page. */
export function App({ session, theme }: { session: Session; theme: Signal<Theme> }) {
  const isHelpOpen = useSignal(false);
  const isSettingsOpen = useSignal(false);
  useShortcuts(session, isHelpOpen, isSettingsOpen);
  return (
    <>
      <Header session={session} theme={theme} onHelp={() => (isHelpOpen.value = true)} />
      <Trouble session={session} />
      <main class={`page-main ${isSettingsOpen.value ? "page-with-settings" : ""}`}>
        <Conversation session={session} />
        <Composer
          session={session}
          isSettingsOpen={isSettingsOpen.value}
          onSettings={(open) => (isSettingsOpen.value = open)}
        />
        {isSettingsOpen.value && (
          <SettingsPanel session={session} onClose={() => (isSettingsOpen.value = false)} />
        )}
        <Shown session={session} />
      </main>
      <KeyDialog session={session} />
      <Help isOpen={isHelpOpen} />
    </>
  );
}

/** The canvases of the turn that is selected. */
function Shown({ session }: { session: Session }) {
  const turn = session.shown.value;
  return (
    <section id="shown" class="page-shown" aria-label="Run">
      {turn ? <Runs session={session} turn={turn} /> : <Nothing />}
    </section>
  );
}

function Runs({ session, turn }: { session: Session; turn: Turn }) {
  const [first, second] = turn.runs.map((run) => run.value);
  if (first === undefined) return null;
  if (first.state !== "running" && first.canvases.length === 0) {
    const isSeeded = first.answer.seed !== undefined;
    return <Forgotten onReplay={isSeeded ? () => session.replay(turn) : undefined} />;
  }
  if (second === undefined) return <RunView key={first.id} run={first} />;
  return <Compare key={`${first.id} ${second.id}`} runs={[first, second]} />;
}

function Nothing() {
  return (
    <div class="page-nothing">
      <p>Canvases appear here while they are written.</p>
    </div>
  );
}

/** Drafts do not outlive a reload, but a seed gives them again. */
function Forgotten({ onReplay }: { onReplay: (() => void) | undefined }) {
  return (
    <div class="page-nothing">
      <p>There are no drafts of this answer.</p>
      {onReplay && (
        <button type="button" onClick={onReplay}>
          Write it again with its seed
        </button>
      )}
    </div>
  );
}

function useShortcuts(session: Session, help: Signal<boolean>, settings: Signal<boolean>): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
      if (event.key === "Escape") {
        if (session.running.peek() > 0) session.stop();
        else settings.value = false;
      } else if (event.key === "?" && !isTyping(event.target)) help.value = true;
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.matches("input, textarea, select");
}
