// WebP files that lie on their side: Chromium ignores their EXIF orientation, other browsers do not.

const ORIENTATION = 0x0112;

/** What turns an image of w × h pixels upright, by its orientation, as a canvas takes it. */
const TRANSFORMS = {
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (w, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (w, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};

/** The file itself if it is upright, else a PNG that is. */
export async function uprightWebP(file) {
  const view = new DataView(await file.arrayBuffer());
  const chunk = findExif(view);
  const orientation = chunk && readOrientation(view, chunk.start, chunk.end);
  if (!(orientation in TRANSFORMS)) return file;
  view.setUint8(chunk.start - 8, "x".charCodeAt()); // no browser finds the chunk now
  const image = await createImageBitmap(new Blob([view]));
  const { width: w, height: h } = image;
  const canvas = new OffscreenCanvas(...(orientation > 4 ? [h, w] : [w, h]));
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.setTransform(...TRANSFORMS[orientation](w, h));
  context.drawImage(image, 0, 0);
  image.close();
  return canvas.convertToBlob();
}

function findExif(view) {
  for (let start = 20, size; start <= view.byteLength; start += size + (size % 2) + 8) {
    size = view.getUint32(start - 4, true);
    const end = start + size;
    if (textAt(view, start - 8, 4) === "EXIF" && end <= view.byteLength) return { start, end };
  }
  return null;
}

/** From the bytes of EXIF, which are those of a TIFF file; undefined if there is none. */
function readOrientation(view, start, end) {
  if (end - start < 14) return undefined;
  if (textAt(view, start, 4) === "Exif") start += 6;
  const little = textAt(view, start, 2) === "II";
  const entries = start + view.getUint32(start + 4, little) + 2;
  if (entries > end) return undefined;
  const count = view.getUint16(entries - 2, little);
  for (let entry = entries; entry < entries + 12 * count && entry + 12 <= end; entry += 12) {
    if (view.getUint16(entry, little) === ORIENTATION) return view.getUint16(entry + 8, little);
  }
  return undefined;
}

function textAt(view, start, length) {
  return String.fromCharCode(...new Uint8Array(view.buffer, start, length));
}
