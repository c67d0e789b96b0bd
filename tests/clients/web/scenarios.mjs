// What the tests beside this file have a Node program do: `node scenarios.mjs CLIENT URL SCENARIO`,
// where CLIENT is the compiled client. Each prints lines of JSON.

const [, , clientPath, baseUrl, scenario] = process.argv;
const { createClient, PalimpsestError } = await import(clientPath);

const PROTOCOLS = ["connect", "connect-json", "grpc-web"];
const COUNT = "count from 1 to 40";
const ENDLESS = {
  maxDenoisingSteps: 1_000,
  confidenceThreshold: 0,
  maxOutputTokens: 64,
  drafts: true,
};

function print(value) {
  const plain = (_, item) => (typeof item === "bigint" ? String(item) : item);
  process.stdout.write(`${JSON.stringify(value, plain)}\n`);
}

function clients() {
  return PROTOCOLS.map((protocol) => [protocol, createClient({ baseUrl, protocol })]);
}

async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof PalimpsestError)) throw error;
    const { code, message, violations, requestId } = error;
    return { code, message, violations, requestId };
  }
  throw new Error("nothing was refused");
}

const SCENARIOS = {
  async answers() {
    for (const [protocol, client] of clients()) {
      print({ protocol, ...(await client.generate(COUNT, { seed: 7 }).answer()) });
    }
  },

  async drafts() {
    for (const [protocol, client] of clients()) {
      const drafts = { maxRateHz: 1_000, entropy: true };
      for await (const event of client.generate(COUNT, { seed: 7, drafts })) {
        print({ protocol, ...event });
      }
    }
  },

  async refusals() {
    for (const [protocol, client] of clients()) {
      print({ protocol, ...(await refusal(client.generate("x", { topK: 0 }).answer())) });
      const asked = { labels: ["a", "a"] };
      print({ protocol, ...(await refusal(client.decide("x", asked))) });
    }
  },

  async others() {
    const client = createClient({ baseUrl });
    const question = { questions: ["banana", "cat"], labels: ["0", "1", "2", "3"], seed: 7 };
    const { decisions } = await client.decide("count the letter a in ", question);
    const tokens = await client.countTokens(COUNT);
    const { name, canvasLength } = await client.model();
    print({ best: decisions.map(({ best }) => best), tokens, name, canvasLength });
  },

  async abort() {
    for (const [protocol, client] of clients()) {
      const abort = new AbortController();
      const options = { ...ENDLESS, signal: abort.signal, requestId: `abort-${protocol}` };
      const reading = (async () => {
        for await (const event of client.generate(COUNT, options)) {
          if (event.kind === "draft") abort.abort();
        }
      })();
      print({ protocol, ...(await refusal(reading)) });
    }
  },

  async leave() {
    for (const [protocol, client] of clients()) {
      const options = { ...ENDLESS, requestId: `leave-${protocol}` };
      for await (const event of client.generate(COUNT, options)) {
        if (event.kind === "draft") break;
      }
      print({ protocol });
    }
  },

  // Slow enough to be killed in its second canvas.
  async resume() {
    const client = createClient({ baseUrl, retries: 20 });
    const options = { seed: 7, maxDenoisingSteps: 24, confidenceThreshold: 0 };
    for await (const event of client.generate(COUNT, options)) print(event);
  },

  async chat() {
    const client = createClient({ baseUrl });
    const messages = [{ role: "user", content: "reverse the word: storm" }];
    const { text } = await client.chat(messages, { seed: 7 }).answer();
    print({ text });
  },
};

await SCENARIOS[scenario]();
