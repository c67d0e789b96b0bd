// OpenAI's client for Node makes each request of the table; scenarios.py is its twin in Python. One JSON
// object a line. The address and the key are those of OPENAI_BASE_URL and OPENAI_API_KEY.

import { readFileSync } from "node:fs";

import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const model = "palimpsest-tiny";
const REVERSE = "reverse the word: canvas";
const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const WEATHER = { name: "get_weather", description: "Weather in a city", parameters: CITY };
const BUSY = { max_denoising_steps: 1000, confidence_threshold: 0, previews: true, max_rate_hz: 1000 };
const COLOUR = { type: "text", text: "what colour is the circle?" };
const CIRCLE = readFileSync(new URL("circle.png", import.meta.url));

const user = (content) => ({ role: "user", content });
const ask = (content, more, options) =>
  client.chat.completions.create({ model, seed: 7, messages: [user(content)], ...more }, options);

async function text(content, more) {
  return (await ask(content, more)).choices[0].message.content;
}

function picture(data) {
  return { type: "image_url", image_url: { url: `data:image/png;base64,${data.toString("base64")}` } };
}

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, error.param].filter(Boolean).join(" ");
  }
  return "answered";
}

const scenarios = {
  async models() {
    return (await client.models.list()).data.map((one) => one.id).join();
  },
  async chat() {
    const { choices, usage } = await ask(REVERSE);
    return `${choices[0].message.content} ${choices[0].finish_reason} ${usage.completion_tokens} tokens`;
  },
  async stream() {
    const more = { stream: true, stream_options: { include_usage: true } };
    const parts = [];
    let tokens;
    for await (const chunk of await ask("count from 1 to 40", more)) {
      if (chunk.choices[0]?.delta.content) parts.push(chunk.choices[0].delta.content);
      tokens = chunk.usage?.completion_tokens;
    }
    const whole = await ask("count from 1 to 40");
    const same = parts.join("") === whole.choices[0].message.content;
    return `${parts.length} parts ${same && tokens === whole.usage.completion_tokens ? "as in" : "unlike"} one piece`;
  },
  async drafts() {
    const parts = [];
    let drafts = 0;
    for await (const chunk of await ask(REVERSE, { stream: true, diffusion: { previews: true } })) {
      drafts += chunk.diffusion === undefined ? 0 : 1;
      parts.push(chunk.choices[0]?.delta.content ?? "");
    }
    return `${drafts > 0 ? "drafts" : "no drafts"} and ${parts.join("")}`;
  },
  async tools() {
    const messages = [];
    const told = [];
    const tools = [{ type: "function", function: WEATHER }];
    const results = { Oslo: { degrees: -5, sky: "cloudy" }, Rome: { degrees: 21, sky: "sunny" } };
    for (const [city, result] of Object.entries(results)) {
      messages.push(user(`weather in ${city}`));
      let answer = await client.chat.completions.create({ model, seed: 7, messages, tools });
      const [call] = answer.choices[0].message.tool_calls;
      told.push(`${call.function.name} ${call.function.arguments}`);
      messages.push(answer.choices[0].message);
      messages.push({ role: "tool", tool_call_id: call.id, content: JSON.stringify(result) });
      answer = await client.chat.completions.create({ model, seed: 7, messages, tools });
      told.push(answer.choices[0].message.content);
      messages.push(answer.choices[0].message);
    }
    return told.join(" → ");
  },
  async "JSON schema"() {
    const json_schema = { name: "person", strict: true, schema: PERSON };
    return text("as person json: ada, age 36", { response_format: { type: "json_schema", json_schema } });
  },
  async thinking() {
    const more = { chat_template_kwargs: { enable_thinking: true } };
    const { message } = (await ask("add 172 and 651 and 144", more)).choices[0];
    return `${message.content} ${message.reasoning_content ? "after a thought" : "at once"}`;
  },
  async logprobs() {
    const { content } = (await ask(REVERSE, { logprobs: true, top_logprobs: 3 })).choices[0].logprobs;
    return `${content.map((one) => one.token).join("-")} of ${content[0].top_logprobs.length} each`;
  },
  async responses() {
    const { output_text, status, usage } = await client.responses.create({ model, seed: 7, input: REVERSE });
    return `${output_text} ${status} ${usage.output_tokens} tokens`;
  },
  async "responses, stream"() {
    const asked = { model, seed: 7, input: "count from 1 to 40" };
    const parts = [];
    const kinds = [];
    for await (const event of await client.responses.create({ ...asked, stream: true })) {
      kinds.push(event.type.replace("response.", ""));
      if (event.type === "response.output_text.delta") parts.push(event.delta);
    }
    const same = parts.join("") === (await client.responses.create(asked)).output_text;
    const firstAndLast = `${kinds[0]} to ${kinds.at(-1)}`;
    return `${firstAndLast}, ${parts.length} parts ${same ? "as in" : "unlike"} one piece`;
  },
  async "responses, tools"() {
    const tools = [{ type: "function", strict: false, ...WEATHER }];
    const input = [user("weather in Oslo")];
    const [call] = (await client.responses.create({ model, seed: 7, tools, input })).output;
    const output = JSON.stringify({ degrees: -5, sky: "cloudy" });
    input.push(call, { type: "function_call_output", call_id: call.call_id, output });
    const answer = await client.responses.create({ model, seed: 7, tools, input });
    return `${call.name} ${call.arguments} → ${answer.output_text}`;
  },
  async "abort in mid-stream"() {
    const options = { headers: { "x-request-id": "aborted-by-node" } };
    const stream = await ask(REVERSE, { stream: true, diffusion: BUSY }, options);
    for await (const chunk of stream) if (chunk.diffusion) stream.controller.abort();
    // one request runs at a time, so this one waits until the other is gone
    return `then ${await text(REVERSE)}`;
  },
  async "wrong key"() {
    const stranger = new OpenAI({ apiKey: "wrong", maxRetries: 0 });
    return refusal(() => stranger.models.list());
  },
  async "over-long prompt"() {
    return refusal(() => ask("a word ".repeat(3000)));
  },
  async image() {
    return text([picture(CIRCLE), COLOUR]);
  },
  async "broken image"() {
    return refusal(() => ask([COLOUR, picture(Buffer.from("nothing"))]));
  },
};

for (const [request, play] of Object.entries(scenarios)) {
  console.log(JSON.stringify({ request, result: await play() }));
}
