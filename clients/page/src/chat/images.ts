// Images and videos as they come from a drop, a paste or a file dialog.

export type Picture = { mimeType: string } & (
  { image: Uint8Array<ArrayBuffer> } | { video: Uint8Array<ArrayBuffer> }
);

/** Those of `files` that are images or videos, in order; others are passed over. */
export async function pictures(files: Iterable<File>): Promise<Picture[]> {
  const shown = [...files].filter(({ type }) => /^(image|video)\//.test(type));
  return Promise.all(
    shown.map(async (file) => {
      const data = new Uint8Array(await file.arrayBuffer());
      const { type: mimeType } = file;
      return mimeType.startsWith("video/") ? { video: data, mimeType } : { image: data, mimeType };
    }),
  );
}
