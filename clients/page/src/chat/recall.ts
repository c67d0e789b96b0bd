// Going back through what was asked before, as in a shell. Pure.

export interface Recall {
  /** Of the prompt that is shown; their number means the text that was not sent yet. */
  at: number;
  /** The text that was not sent yet. */
  draft: string;
}

/** `step` is −1 for an earlier prompt and 1 for a later one; undefined where there is none. */
export function recalled(
  prompts: readonly string[],
  recall: Recall | undefined,
  step: -1 | 1,
  written: string,
): { recall: Recall; text: string } | undefined {
  const { at, draft } = recall ?? { at: prompts.length, draft: written };
  const next = at + step;
  if (next < 0 || next > prompts.length) return undefined;
  return { recall: { at: next, draft }, text: prompts[next] ?? draft };
}
