// What a visitor gave, before it is classified: is it an image that a browser opens, and not too large?

import { uprightWebP } from "./webp.js";

const MAX_BYTES = 50e6;
const MAX_PIXELS = 50e6;
const MAX_SIDE = 16_384; // above it a browser's canvas stays empty without an error

const READABLE = [
  ["JPEG", /^\xff\xd8\xff/],
  ["PNG", /^\x89PNG\r\n\x1a\n/],
  ["GIF", /^GIF8[79]a/],
  ["WebP", /^RIFF....WEBP/s],
  ["BMP", /^BM/],
  ["AVIF", /^....ftyp(avif|avis)/s],
  ["HEIC", /^....ftyp(hei[cxms]|hev[cx]|mif1|msf1)/s], // Safari opens it
];
const TIFF = /^(II[*+]\0|MM\0[*+])/;

/** An error whose message is a sentence for the visitor. */
export class PhotoError extends Error {}

/** Shows the file in an `<img>`, and returns it; throws a PhotoError if it is no image or too large. */
export async function show(file, img) {
  if (file.size === 0) throw new PhotoError("This file is empty. Choose another one.");
  if (file.size > MAX_BYTES) throw new PhotoError(`This file is larger than ${MAX_BYTES / 1e6} MB. Choose a smaller one.`);
  const kind = await kindOf(file);
  const address = URL.createObjectURL(file);
  try {
    const { naturalWidth: width, naturalHeight: height } = await measure(address, kind);
    if (width * height > MAX_PIXELS || Math.max(width, height) > MAX_SIDE) {
      throw new PhotoError(
        `This image has ${width} × ${height} pixels. At most ${MAX_PIXELS / 1e6} million are read, ` +
          `and ${MAX_SIDE.toLocaleString("en")} on a side: make it smaller.`,
      );
    }
  } finally {
    URL.revokeObjectURL(address);
  }
  const upright = kind === "WebP" ? await uprightWebP(file) : file;
  URL.revokeObjectURL(img.src);
  img.src = URL.createObjectURL(upright);
  return upright;
}

/** The sentence about a file that could not be decoded. */
export function unreadable(kind) {
  return new PhotoError(
    `This browser cannot open this ${kind} file: it is damaged, or of a kind that the browser does not know. ` +
      "Choose another one.",
  );
}

export async function kindOf(file) {
  const header = String.fromCharCode(...new Uint8Array(await file.slice(0, 16).arrayBuffer()));
  if (TIFF.test(header)) {
    throw new PhotoError("This is a TIFF file, which browsers do not open. Save it as JPEG or PNG and try again.");
  }
  const found = READABLE.find(([, pattern]) => pattern.test(header));
  if (!found) throw new PhotoError("This is not an image that can be read. Choose a JPEG, PNG, WebP or GIF.");
  return found[0];
}

/** Its size: browsers know it before they decode the pixels. */
function measure(address, kind) {
  return new Promise((resolve, reject) => {
    const img = new Image();
    img.onload = () => resolve(img);
    img.onerror = () => reject(unreadable(kind));
    img.src = address;
  });
}
