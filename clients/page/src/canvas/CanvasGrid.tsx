import type { DraftTokens } from "@palimpsest/client";
import { useSignal, type Signal } from "@preact/signals";
import type { TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Cell, Label, More } from "./Cell.tsx";
import { itemsOf } from "./cells.ts";
import { Readout, Said } from "./Readout.tsx";
import type { Shown } from "./shown.ts";
import { aboutToken, factsOf } from "./tokenFacts.ts";

interface Props {
  shown: Shown;
  /** Name of the canvas, for those who cannot see it. */
  label: string;
  /** Positions at which another run has another token. */
  differs?: readonly boolean[];
}

/** The tokens of a canvas in their places, as text flows. */
export function CanvasGrid({ shown, label, differs }: Props) {
  const inspected = useSignal<number | undefined>(undefined);
  const said = useSignal("");
  const { tokens } = shown;
  return (
    <div class="canvas-view">
      {tokens ? (
        <Flow
          tokens={tokens}
          shown={shown}
          label={label}
          differs={differs}
          inspected={inspected}
          said={said}
        />
      ) : (
        <p class="canvas-flow" aria-label={label}>
          {shown.text}
        </p>
      )}
      <Readout shown={shown} inspected={inspected} />
      <Said said={said} />
    </div>
  );
}

function Flow({
  tokens,
  shown,
  label,
  differs,
  inspected,
  said,
}: Props & {
  tokens: DraftTokens;
  inspected: Signal<number | undefined>;
  said: Signal<string>;
}) {
  const root = useRef<HTMLDivElement>(null);
  const items = useMemo(() => itemsOf(tokens, shown.spans), [tokens, shown.spans]);
  useMark(root, inspected);
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const cells = items.flatMap((item) => (item.kind === "cell" ? [item.position] : []));
    const next = moved(cells, inspected.value, event.key);
    if (next === undefined) return;
    inspected.value = next;
    said.value = aboutToken(factsOf(shown, next));
    event.preventDefault();
  };
  const onPointer = (event: Event) => {
    const cell = (event.target as Element).closest<HTMLElement>("[data-position]");
    if (cell) inspected.value = Number(cell.dataset.position);
  };
  return (
    <div
      ref={root}
      class={shown.settled ? "canvas-flow canvas-settled" : "canvas-flow"}
      role="group"
      aria-label={label}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onPointerOver={onPointer}
      onPointerLeave={(event) => {
        if (event.pointerType === "mouse") inspected.value = undefined;
      }}
      onBlur={() => (inspected.value = undefined)}
    >
      {items.map((item) => {
        const at = item.position;
        if (item.kind === "label") return <Label key={`l${at}`} span={item.span} />;
        if (item.kind === "more") {
          return <More key={`m${at}`} count={item.count} name={item.name} />;
        }
        return (
          <Cell
            key={at}
            {...factsOf(shown, at)}
            differs={differs?.[at] ?? false}
            span={item.span}
          />
        );
      })}
    </div>
  );
}

/** Frames the cell that is inspected, without drawing any cell again. */
function useMark(root: { current: HTMLElement | null }, inspected: Signal<number | undefined>) {
  useLayoutEffect(
    () =>
      inspected.subscribe((position) => {
        root.current?.querySelector("[data-inspected]")?.removeAttribute("data-inspected");
        if (position === undefined) return;
        const cell = root.current?.querySelector(`[data-position="${position}"]`);
        cell?.setAttribute("data-inspected", "");
      }),
    [inspected],
  );
}

/** The position that a key leads to, among those that are drawn. */
function moved(cells: readonly number[], from: number | undefined, key: string) {
  const at = cells.indexOf(from ?? -1);
  if (key === "ArrowRight") return cells[Math.min(at + 1, cells.length - 1)];
  if (key === "ArrowLeft") return cells[Math.max(at - 1, 0)];
  if (key === "Home") return cells[0];
  if (key === "End") return cells.at(-1);
  return undefined;
}
