// Names of tokens without text: those of Gemma's vocabulary, which has them in these places.

const NAMES: Readonly<Record<number, string>> = {
  0: "<pad>",
  1: "<eos>",
  2: "<bos>",
  3: "<unk>",
  4: "<mask>",
  46: "<|tool>",
  47: "<tool|>",
  48: "<|tool_call>",
  49: "<tool_call|>",
  50: "<|tool_response>",
  51: "<tool_response|>",
  52: '<|"|>',
  98: "<|think|>",
  100: "<|channel>",
  101: "<channel|>",
  105: "<|turn>",
  106: "<turn|>",
};

/** Tokens that fill a canvas behind the end of its text. */
const PADDING = new Set([0, 1]);

export function specialName(id: number): string {
  return NAMES[id] ?? `#${id}`;
}

/** What many of them in a row are called. */
export function specialsName(id: number): string {
  return PADDING.has(id) ? "padding" : specialName(id);
}
