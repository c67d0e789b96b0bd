// Images as they come from a drop, a paste or a file dialog.

export interface Picture {
  image: Uint8Array<ArrayBuffer>;
  mimeType: string;
}

/** Those of `files` that are images, in order; others are passed over. */
export async function pictures(files: Iterable<File>): Promise<Picture[]> {
  const images = [...files].filter(({ type }) => type.startsWith("image/"));
  return Promise.all(
    images.map(async (file) => ({
      image: new Uint8Array(await file.arrayBuffer()),
      mimeType: file.type,
    })),
  );
}
