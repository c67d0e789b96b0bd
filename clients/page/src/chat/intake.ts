// Between a stream and a run that is shown: events wait for the next frame and are applied at once.

import type { Signal } from "@preact/signals";
import type { AnswerEvent } from "@palimpsest/client";
import { withEvent, type Run } from "../run.ts";

/** What of the page a run depends on. */
export interface Page {
  /** Calls back before the page is drawn again, which may be never while it is hidden. */
  nextFrame: (then: () => void) => void;
  isHidden: () => boolean;
  /** Milliseconds, on a clock that only goes forward. */
  now: () => number;
}

export class Intake {
  readonly #run: Signal<Run>;
  readonly #page: Page;
  readonly #startMs: number;
  #waiting: { event: AnswerEvent; atMs: number }[] = [];
  #isDue = false;

  /** The run is sent now. */
  constructor(run: Signal<Run>, page: Page) {
    this.#run = run;
    this.#page = page;
    this.#startMs = page.now();
  }

  /** Nobody sees a draft that comes to a hidden page, so it is not kept. */
  take(event: AnswerEvent): void {
    if (event.kind === "draft" && this.#page.isHidden()) return;
    this.#waiting.push({ event, atMs: this.#page.now() - this.#startMs });
    if (this.#isDue) return;
    this.#isDue = true;
    this.#page.nextFrame(() => this.apply());
  }

  /** Applies what waits, and then `change`. */
  apply(change: (run: Run) => Run = (run) => run): void {
    this.#isDue = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    const before = this.#run.peek();
    const folded = waiting.reduce((run, { event, atMs }) => withEvent(run, event, atMs), before);
    this.#run.value = change(folded);
  }
}
