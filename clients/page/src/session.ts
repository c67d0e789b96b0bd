// The page's state, as signals, and what can be done with it. Passed to the components; knows no DOM.

import { computed, effect, signal, type ReadonlySignal, type Signal } from "@preact/signals";
import {
  PalimpsestError,
  type ChatMessage,
  type Client,
  type ContentPart,
  type Model,
} from "@palimpsest/client";
import { blamed } from "./chat/blame.ts";
import { messagesOf } from "./chat/history.ts";
import type { Page } from "./chat/intake.ts";
import { drawnSeed, paired, understood } from "./chat/options.ts";
import { readTurns, savedTurns } from "./chat/saved.ts";
import { fieldsOf, NO_SETTINGS, readSettings, withField } from "./chat/settings.ts";
import type { FieldName, Problems, Settings, Side } from "./chat/settings.ts";
import type { Store } from "./chat/store.ts";
import { exchangeOf, isRewrite, type Turn } from "./chat/turns.ts";
import { write } from "./chat/writing.ts";
import { newRun, type Asked, type Run } from "./run.ts";

const SIDES: readonly Side[] = ["a", "b"];
const NO_PROBLEMS: Record<Side, Problems> = { a: {}, b: {} };
/** What a session works with. */
export interface Surroundings {
  client: Client;
  page: Page;
  /** Outlives a reload. */
  store: Store;
  /** Outlives a reload, but not the tab. */
  secrets: Store;
}

export class Session {
  /** Undefined until the server has told it. */
  readonly model = signal<Model | undefined>(undefined);
  /** Why the server cannot be reached; empty while it can. */
  readonly trouble = signal("");
  /** Whether the server wants a key that it was not given. */
  readonly keyWanted = signal(false);
  readonly settings: Signal<Settings>;
  /** What is wrong with the settings, as far as somebody noticed. */
  readonly problems = signal(NO_PROBLEMS);
  readonly turns: Signal<readonly Turn[]>;
  /** The turn of which the canvases are shown; undefined before the first. */
  readonly shown: ReadonlySignal<Turn | undefined>;
  /** Runs that are being written. */
  readonly running = signal(0);
  readonly #selected = signal<number | undefined>(undefined);
  readonly #with: Surroundings;
  readonly #stops = new Set<AbortController>();
  #ids = 0;

  constructor(surroundings: Surroundings) {
    const { store } = surroundings;
    this.#with = surroundings;
    this.settings = signal(readSettings(store.get("palimpsest.settings")));
    this.turns = signal(readTurns(store.get("palimpsest.conversation"), () => this.#nextId()));
    this.shown = computed(() => {
      const turns = this.turns.value;
      return turns.find(({ id }) => id === this.#selected.value) ?? turns.at(-1);
    });
    effect(() => void store.set("palimpsest.settings", this.settings.value));
  }

  /** Asks the server for its model. */
  async connect(): Promise<void> {
    try {
      this.model.value = await this.#with.client.model({ headers: this.#headers() });
      this.trouble.value = "";
    } catch (thrown) {
      const error = PalimpsestError.from(thrown);
      if (error.code === "unauthenticated") this.keyWanted.value = true;
      else this.trouble.value = error.message;
    }
  }

  /** A message of the user; false if the settings cannot be sent, and `problems` says why. */
  send(content: string | readonly ContentPart[]): boolean {
    return this.#say([{ role: "user", content }]);
  }

  /** Results of the calls that the last answer made; as `send`. */
  answer(results: readonly ChatMessage[]): boolean {
    return this.#say(results);
  }

  /** Ends all runs, and the work on the server. */
  stop(): void {
    for (const stop of this.#stops) stop.abort();
  }

  /** Writes the answer of a turn anew, with the settings of now. */
  retry(turn: Turn): void {
    if (isRewrite(turn)) {
      const rewritten = turn.runs[1]!.peek().asked;
      const options = { ...rewritten.options, seed: BigInt(drawnSeed()) };
      this.rewrite(turn, 0, { ...rewritten, options });
      return;
    }
    const turns = this.turns.peek();
    const asked = this.#asked(turns.slice(0, turns.indexOf(turn)), turn.sent);
    if (asked) this.#put(turn, this.#beginAll(asked));
  }

  /** Writes the answer of a turn again as it was: its drafts, if they are no longer there. */
  replay(turn: Turn): void {
    const asked = turn.runs.map((run) => {
      const { asked, answer } = run.peek();
      return { ...asked, options: { ...asked.options, seed: answer.seed } };
    });
    this.#put(turn, this.#beginAll(asked), turn.chosen);
  }

  /** Asks for another version of the answer of run `at`, and shows the two beside each other. */
  rewrite(turn: Turn, at: number, asked: Asked): void {
    this.#put(turn, [turn.runs[at]!, this.#begin(asked, "a")], 1);
    this.select(turn);
  }

  /** Shows the canvases of a turn. */
  select(turn: Turn): void {
    this.#selected.value = turn.id;
  }

  /** Lets the conversation go on with one of two runs. */
  choose(turn: Turn, chosen: number): void {
    this.#put(turn, turn.runs, chosen);
    this.#keep();
  }

  set(side: Side, name: FieldName, value: string): void {
    this.settings.value = withField(this.settings.peek(), side, name, value);
    const { a, b } = this.problems.peek();
    this.problems.value = { a: { ...a, [name]: undefined }, b: { ...b, [name]: undefined } };
  }

  /** Answers every message twice from now on, or once. */
  compare(comparing: boolean): void {
    this.settings.value = { ...this.settings.peek(), comparing };
  }

  /** Leaves all settings to the server. */
  reset(): void {
    this.settings.value = NO_SETTINGS;
    this.problems.value = NO_PROBLEMS;
  }

  /** Forgets the conversation. */
  clear(): void {
    this.stop();
    this.turns.value = [];
    this.#keep();
  }

  /** Kept for the tab; what failed for want of it is tried again. */
  useKey(key: string): void {
    this.#with.secrets.set("palimpsest.key", key || undefined);
    this.keyWanted.value = false;
    void this.connect();
    const last = this.turns.peek().at(-1);
    const locked = last?.runs.some((run) => run.peek().error?.code === "unauthenticated");
    if (last && locked) this.retry(last);
  }

  #say(sent: readonly ChatMessage[]): boolean {
    const asked = this.#asked(this.turns.peek(), sent);
    if (asked === undefined) return false;
    const turn = { id: this.#nextId(), sent, runs: this.#beginAll(asked), chosen: 0 };
    this.turns.value = [...this.turns.peek(), turn];
    this.select(turn);
    this.#keep();
    return true;
  }

  /** What to ask, once or for both sides; undefined if the settings cannot be sent. */
  #asked(before: readonly Turn[], sent: readonly ChatMessage[]): Asked[] | undefined {
    const settings = this.settings.peek();
    const sides = SIDES.slice(0, settings.comparing ? 2 : 1);
    const read = sides.map((side) => understood(fieldsOf(settings, side)));
    this.problems.value = { a: read[0]!.problems, b: read[1]?.problems ?? {} };
    if (read.some(({ problems }) => Object.keys(problems).length > 0)) return undefined;
    const options = paired(
      read.map((one) => one.options),
      Object.keys(settings.b).length > 0,
    );
    const exchanges = before.map(exchangeOf);
    return sides.map((side, i) => ({
      messages: messagesOf(fieldsOf(settings, side).system, exchanges, sent),
      options: options[i]!,
    }));
  }

  #beginAll(asked: readonly Asked[]): Signal<Run>[] {
    return asked.map((one, i) => this.#begin(one, SIDES[i]!));
  }

  #begin(asked: Asked, side: Side): Signal<Run> {
    const run = signal(newRun(this.#nextId(), asked, Date.now()));
    void this.#write(run, side);
    return run;
  }

  async #write(run: Signal<Run>, side: Side): Promise<void> {
    const stop = new AbortController();
    this.#stops.add(stop);
    this.running.value += 1;
    const call = { signal: stop.signal, headers: this.#headers() };
    const error = await write(run, this.#with, call);
    this.#stops.delete(stop);
    this.running.value -= 1;
    this.#keep();
    if (error) this.#note(error, side);
  }

  #note(error: PalimpsestError, side: Side): void {
    const refused = { ...this.problems.peek()[side], ...blamed(error.violations) };
    this.problems.value = { ...this.problems.peek(), [side]: refused };
    if (error.code === "unauthenticated") this.keyWanted.value = true;
    if (error.code === "unavailable") void this.connect();
  }

  #put(turn: Turn, runs: readonly Signal<Run>[], chosen = 0): void {
    this.turns.value = this.turns
      .peek()
      .map((one) => (one.id === turn.id ? { ...turn, runs, chosen } : one));
  }

  /** The newest turns for which there is room. */
  #keep(): void {
    let turns = this.turns.peek();
    while (!this.#with.store.set("palimpsest.conversation", savedTurns(turns)) && turns.length) {
      turns = turns.slice(1);
    }
  }

  #headers(): Record<string, string> {
    const key = this.#with.secrets.get("palimpsest.key");
    return typeof key === "string" ? { authorization: `Bearer ${key}` } : {};
  }

  #nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }
}
