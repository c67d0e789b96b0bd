// What the bundled model can do, to begin with. Pure data.

import type { Fields } from "./settings.ts";

export interface Example {
  prompt: string;
  /** What it needs, in words. */
  needs?: string;
  fields?: Partial<Fields>;
}

const DECLARED = [
  {
    name: "get_weather",
    description: "Weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
  {
    name: "get_time",
    description: "Time in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
  {
    name: "find_book",
    description: "Look for a book",
    parameters: { type: "object", properties: { title: { type: "string" } }, required: ["title"] },
  },
];

export const EXAMPLE_TOOLS = `[\n${DECLARED.map((tool) => `  ${JSON.stringify(tool)}`).join(",\n")}\n]`;

/** What such a tool may give back. */
export const EXAMPLE_RESULTS: Readonly<Record<string, string>> = {
  get_weather: '{"degrees": 21, "sky": "sunny"}',
  get_time: '{"time": "12:54"}',
  find_book: '{"pages": 312}',
};

export const EXAMPLES: readonly Example[] = [
  { prompt: "count from 1 to 40" },
  { prompt: "spell palimpsest backwards" },
  { prompt: "write the multiplication table of 7 from 2 to 11" },
  { prompt: "write a book as json: storm by owl, 25 pages" },
  { prompt: "number the words: apple, storm, canvas, music, earth" },
  { prompt: "add 172 and 651 and 144", needs: "thinking", fields: { thinking: "on" } },
  { prompt: "weather in Mint", needs: "tools", fields: { tools: EXAMPLE_TOOLS } },
];
