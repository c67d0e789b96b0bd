import { useEffect, useState } from "preact/hooks";

/** A small view of an encoded image. */
export function Thumbnail(props: { image: Uint8Array; mimeType?: string; name: string }) {
  const { image, mimeType, name } = props;
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(
      new Blob([image as Uint8Array<ArrayBuffer>], { type: mimeType }),
    );
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [image, mimeType]);
  return url ? <img class="chat-thumbnail" src={url} alt={name} /> : null;
}
