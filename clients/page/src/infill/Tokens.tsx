import { useId } from "preact/hooks";
import type { Token, WrittenCanvas } from "./rewrite.ts";
import { moved, range, touched, type Selection } from "./selection.ts";

/** The tokens of one canvas as text, of which neighbours can be selected. */
export function Tokens(props: {
  canvas: WrittenCanvas;
  selection: Selection | undefined;
  onSelect: (selection: Selection) => void;
}) {
  const { canvas, selection, onSelect } = props;
  const id = useId();
  const [start, end] = selection ? range(selection) : [0, 0];
  const onKeyDown = (event: KeyboardEvent) => {
    const next = moved(selection, event.key, event.shiftKey, canvas.tokens.length);
    if (next === undefined) return;
    event.preventDefault();
    onSelect(next);
  };
  const onPointer = (event: PointerEvent) => {
    const at = tokenAt(event.target);
    if (at === undefined || !(event.buttons & 1)) return;
    const next = pointed(event, selection, at);
    if (next.anchor !== selection?.anchor || next.focus !== selection.focus) onSelect(next);
  };
  return (
    <div
      class="infill-tokens"
      role="listbox"
      tabIndex={0}
      aria-multiselectable
      aria-label={`Tokens of canvas ${canvas.index + 1}`}
      aria-activedescendant={selection && `${id}-${selection.focus}`}
      onKeyDown={onKeyDown}
      onPointerDown={onPointer}
      onPointerMove={onPointer}
    >
      {canvas.tokens.map((token, i) => (
        <span
          key={i}
          id={`${id}-${i}`}
          class={token.text?.trim() ? "infill-token" : "infill-token infill-special"}
          role="option"
          aria-selected={i >= start && i < end}
          data-token={i}
        >
          {shown(token)}
        </span>
      ))}
    </div>
  );
}

/** What a pointer that is pressed over a token selects. */
function pointed(event: PointerEvent, selection: Selection | undefined, at: number): Selection {
  const begins = event.type === "pointerdown";
  if (event.pointerType === "touch")
    return begins || !selection ? touched(selection, at) : selection;
  return { anchor: selection && (!begins || event.shiftKey) ? selection.anchor : at, focus: at };
}

function tokenAt(target: EventTarget | null): number | undefined {
  const token = target instanceof Element ? target.closest<HTMLElement>("[data-token]") : null;
  return token ? Number(token.dataset.token) : undefined;
}

/** A line feed alone would be nothing to point at. */
function shown({ id, text }: Token): string {
  return text?.replaceAll("\n", "↵\n") || `⟨${id}⟩`;
}
