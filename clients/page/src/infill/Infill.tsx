import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Asked, Run } from "../run.ts";
import "./infill.css";
import { isPlain, rewritten, writtenCanvases, type WrittenCanvas } from "./rewrite.ts";
import { range, type Selection } from "./selection.ts";
import { Tokens } from "./Tokens.tsx";

/** A finished answer of which parts can be selected; `onRewrite` is given what asks to rewrite them. */
export function Infill({ run, onRewrite }: { run: Run; onRewrite: (asked: Asked) => void }) {
  const canvases = useMemo(() => (run.state === "finished" ? writtenCanvases(run) : []), [run]);
  const plain = useMemo(() => isPlain(run, canvases), [run, canvases]);
  const shown = useSignal(0);
  const selection = useSignal<Selection | undefined>(undefined);
  const canvas = canvases[shown.value] ?? canvases[0];
  if (canvas === undefined) {
    return <p class="infill-note">Parts of a finished answer can be rewritten.</p>;
  }
  return (
    <div class="infill">
      {canvases.length > 1 && (
        <CanvasChoice
          canvases={canvases}
          shown={shown.value}
          onChoose={(index) => {
            shown.value = index;
            selection.value = undefined;
          }}
        />
      )}
      <Tokens
        canvas={canvas}
        selection={selection.value}
        onSelect={(next) => (selection.value = next)}
      />
      <Gap
        key={selectionKey(canvas, selection.value)}
        selection={selection.value}
        longest={run.started?.canvasLength ?? canvas.tokens.length}
        plain={plain}
        onRewrite={(start, end, length) =>
          onRewrite(rewritten(run, canvases, { canvas, start, end, length }, newSeed()))
        }
      />
    </div>
  );
}

function CanvasChoice(props: {
  canvases: readonly WrittenCanvas[];
  shown: number;
  onChoose: (index: number) => void;
}) {
  return (
    <p class="infill-canvas">
      <label>
        Canvas
        <select
          value={props.shown}
          onChange={(event) => props.onChoose(Number(event.currentTarget.value))}
        >
          {props.canvases.map(({ index }, i) => (
            <option key={index} value={i}>
              {index + 1}
            </option>
          ))}
        </select>
      </label>
      <span class="infill-note">
        A selection stays within one canvas: that is what the model writes at once.
      </span>
    </p>
  );
}

function Gap(props: {
  selection: Selection | undefined;
  longest: number;
  plain: boolean;
  onRewrite: (start: number, end: number, length: number) => void;
}) {
  const [start, end] = props.selection ? range(props.selection) : [0, 0];
  const length = useSignal(end - start);
  const rewrite = (event: Event) => {
    event.preventDefault();
    if (end > start && length.value >= 1) props.onRewrite(start, end, length.value);
  };
  return (
    <form class="infill-gap" onSubmit={rewrite}>
      <label>
        Length of the gap, in tokens
        <input
          type="number"
          min={1}
          max={props.longest}
          required
          value={length.value || ""}
          disabled={!props.plain || end === start}
          onInput={(event) => (length.value = event.currentTarget.valueAsNumber || 0)}
        />
      </label>
      <button type="submit" disabled={end === start}>
        Rewrite the selection
      </button>
      <span class="infill-note">{explanation(props.plain, end - start)}</span>
    </form>
  );
}

function explanation(plain: boolean, count: number): string {
  if (count === 0) return "Select tokens by mouse or touch, or by arrow keys with Shift.";
  const selected = `${count} ${count === 1 ? "token" : "tokens"} selected. `;
  return plain
    ? `${selected}All other text stays, byte for byte.`
    : `${selected}Thoughts and calls keep their places, so the length stays.`;
}

/** A new selection is a new gap, of its own length. */
function selectionKey(canvas: WrittenCanvas, selection: Selection | undefined): string {
  return selection ? [canvas.index, ...range(selection)].join() : "";
}

function newSeed(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!;
}
