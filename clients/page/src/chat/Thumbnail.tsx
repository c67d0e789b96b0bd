import { useEffect, useState } from "preact/hooks";
import type { Shown } from "./turns.ts";

/** A small view of an encoded image or video. */
export function Thumbnail(props: { shown: Shown; name: string }) {
  const { shown, name } = props;
  const data = "image" in shown ? shown.image : shown.video;
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(
      new Blob([data as Uint8Array<ArrayBuffer>], { type: shown.mimeType }),
    );
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data, shown.mimeType]);
  if (!url) return null;
  if ("video" in shown) {
    return <video class="chat-thumbnail" src={url} aria-label={name} controls muted />;
  }
  return <img class="chat-thumbnail" src={url} alt={name} />;
}
