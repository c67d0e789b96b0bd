import type { DraftTokens } from "@palimpsest/client";
import type { Signal } from "@preact/signals";
import type { TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Cell, classOf, Label, More, textOf } from "./Cell.tsx";
import { itemsOf } from "./cells.ts";
import type { Shown } from "./shown.ts";
import { aboutToken, factsOf } from "./tokenFacts.ts";

interface Props {
  /** Those of `shown`. */
  tokens: DraftTokens;
  shown: Shown;
  label: string;
  differs: readonly boolean[] | undefined;
  /** The position under the pointer or the keyboard's mark. */
  inspected: Signal<number | undefined>;
  /** What is read aloud of it. */
  said: Signal<string>;
}

/** Tokens as text; arrow keys move a mark over them. */
export function Flow({ tokens, shown, label, differs, inspected, said }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const items = useMemo(() => itemsOf(tokens, shown.spans), [tokens, shown.spans]);
  useMark(root, inspected, shown);
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
            position={at}
            text={textOf(tokens, at)}
            name={classOf(shown, item, differs?.[at] ?? false)}
          />
        );
      })}
    </div>
  );
}

/**
 * Frames the cell that is inspected and tells of it, without drawing any other cell again: facts
 * change at nearly every cell in every step, and nobody reads more than one of them.
 */
function useMark(
  root: { current: HTMLElement | null },
  inspected: Signal<number | undefined>,
  shown: Shown,
) {
  useLayoutEffect(() => {
    let marked: Element | null | undefined;
    const unmark = () =>
      ["data-inspected", "title"].forEach((name) => marked?.removeAttribute(name));
    const stop = inspected.subscribe((position) => {
      unmark();
      marked = root.current?.querySelector(`[data-position="${position}"]`);
      marked?.setAttribute("data-inspected", "");
      if (position !== undefined)
        marked?.setAttribute("title", aboutToken(factsOf(shown, position)));
    });
    return () => {
      stop();
      unmark();
    };
  }, [inspected, shown]);
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
