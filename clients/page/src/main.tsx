import { effect } from "@preact/signals";
import { createClient } from "@palimpsest/client";
import { render } from "preact";
import { App } from "./app.tsx";
import { Store, type Keeping } from "./chat/store.ts";
import { Replayed } from "./replayed.tsx";
import { readReplay } from "./replay/replay.ts";
import { Session } from "./session.ts";
import { themeOf } from "./theme.ts";
import "./theme.css";
import "./chat/chat.css";

/** Between tries to reach a server that is away, in milliseconds. */
const NEXT_TRY_MS = 5_000;

const place = document.getElementById("page")!;
const store = new Store(kept(() => localStorage));
const theme = themeOf(store, document.documentElement);
const replay = readReplay(document);
if (replay) render(<Replayed run={replay} />, place);
else render(<App session={begun()} theme={theme} />, place);

function begun(): Session {
  const baseUrl = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const session = new Session({
    client: createClient({ baseUrl }),
    page: {
      nextFrame: (then) => void requestAnimationFrame(then),
      isHidden: () => document.hidden,
      now: () => performance.now(),
    },
    store,
    secrets: new Store(kept(() => sessionStorage)),
  });
  void session.connect();
  effect(() => {
    if (session.trouble.value === "") return;
    const timer = setInterval(() => document.hidden || void session.connect(), NEXT_TRY_MS);
    return () => clearInterval(timer);
  });
  return session;
}

/** Browsers may refuse to keep anything, by throwing at the very name. */
function kept(storage: () => Storage): Keeping {
  try {
    return storage();
  } catch {
    return undefined;
  }
}
