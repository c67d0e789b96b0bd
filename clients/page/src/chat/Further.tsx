import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Infill } from "../infill/Infill.tsx";
import { Export } from "../replay/Export.tsx";
import type { Asked, Run } from "../run.ts";
import { Snippets } from "../snippets/Snippets.tsx";

type Name = "Rewrite" | "Code" | "Export";

/** What can be done with a finished answer: a row of buttons, one of which shows what is below. */
export function Further({ run, onRewrite }: { run: Run; onRewrite: (asked: Asked) => void }) {
  const open = useSignal<Name | undefined>(undefined);
  const panels: Record<Name, () => ComponentChildren> = {
    Rewrite: () => <Infill run={run} onRewrite={onRewrite} />,
    Code: () => <Snippets asked={again(run)} />,
    Export: () => <Export run={run} />,
  };
  // What was read back after a reload has no canvases to cut, and no drafts to save.
  const names: Name[] = run.canvases.length > 0 ? ["Rewrite", "Code", "Export"] : ["Code"];
  return (
    <div class="chat-further">
      <div class="chat-further-row">
        {names.map((name) => (
          <button
            key={name}
            type="button"
            class="quiet"
            aria-expanded={open.value === name}
            aria-controls={`chat-further-${run.id}`}
            onClick={() => (open.value = open.value === name ? undefined : name)}
          >
            {name}
          </button>
        ))}
      </div>
      <div id={`chat-further-${run.id}`}>{open.value && panels[open.value]()}</div>
    </div>
  );
}

/** What gives this very answer again. */
function again({ asked, answer }: Run): Asked {
  return { ...asked, options: { ...asked.options, seed: answer.seed ?? asked.options.seed } };
}
