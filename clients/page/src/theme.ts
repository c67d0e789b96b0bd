// Light or dark, as the reader or the system wants it.

import { effect, signal, type Signal } from "@preact/signals";
import type { Store } from "./chat/store.ts";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** The theme in use; what it is set to is shown at once and outlives a reload. */
export function themeOf(store: Store, root: HTMLElement): Signal<Theme> {
  const kept = store.get("palimpsest.theme");
  const theme = signal(THEMES.find((one) => one === kept) ?? "auto");
  effect(() => {
    root.dataset.theme = theme.value;
    store.set("palimpsest.theme", theme.value);
  });
  return theme;
}
