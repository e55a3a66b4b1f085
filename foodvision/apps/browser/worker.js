// One runtime with the model: an image in, its probabilities and distance out. Started from a blob by
// engine.js, so that it is under the page's content security policy.

/** Above this many pixels an image is halved while that changes the answer little: a phone's photograph
 * has 12 million or more, and the network takes 0.05. */
const MANY_PIXELS = 2e6;

/** Above this many it is halved in any case, so that the graph has memory for it. */
const MOST_PIXELS = 8e6;

let ort, session, target;

const actions = { open, classify };

onmessage = async ({ data: { id, action, input } }) => {
  try {
    postMessage({ id, value: await actions[action](input) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error), unreadable: error instanceof Unreadable });
  }
};

class Unreadable extends Error {}

/** Starts the runtime and gives it the graph. */
async function open({ provider, module, binary, graph, weights, weightsName, resizedSide, threads }) {
  ort = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
  ort.env.wasm.wasmBinary = binary;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  target = resizedSide;
  session = await ort.InferenceSession.create(new Uint8Array(graph), {
    executionProviders: [provider],
    externalData: [{ path: weightsName, data: new Uint8Array(weights) }],
    logSeverityLevel: 3,
  });
}

/** Of a file (a blob) or a frame of the camera (a bitmap). */
async function classify({ image }) {
  const started = performance.now();
  const { data, width, height } = await readPixels(image);
  const tensor = new ort.Tensor("uint8", data, [1, height, width, 3]);
  const { probabilities, distance } = await session.run({ image: tensor });
  const answer = { probabilities: Array.from(probabilities.data), distance: distance?.data[0] ?? null };
  if (![...answer.probabilities, answer.distance ?? 0].every(Number.isFinite)) {
    throw new Error("The answer is not a finite number.");
  }
  return { ...answer, seconds: (performance.now() - started) / 1000 };
}

/** RGB pixels, upright, in sRGB, on white, 8 bits: as foodvision's `open_image` gives them. */
async function readPixels(image) {
  const bitmap = image instanceof ImageBitmap ? image : await decode(image);
  let { width, height } = smaller(bitmap.width, bitmap.height);
  let canvas = draw(bitmap, width, height);
  bitmap.close();
  for (;;) {
    const next = smaller(width, height);
    if (next.width === width) break;
    canvas = draw(canvas, next.width, next.height);
    ({ width, height } = next);
  }
  const rgba = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    data[to++] = rgba[from];
    data[to++] = rgba[from + 1];
    data[to++] = rgba[from + 2];
  }
  return { data, width, height };
}

async function decode(file) {
  const options = {
    imageOrientation: "from-image", // the default, but not of older browsers
    colorSpaceConversion: "default", // to sRGB
    premultiplyAlpha: "none", // Chromium's WebP decoder else rounds down, by half a level on average
  };
  try {
    return await createImageBitmap(file, options);
  } catch {
    throw new Unreadable();
  }
}

/** Half of an image's sides if it is too large, else the same. */
function smaller(width, height) {
  const precise = Math.min(width, height) >= 4 * target; // its half keeps twice the size that is resized to
  const large = width * height > (precise ? MANY_PIXELS : MOST_PIXELS);
  return large ? { width: Math.ceil(width / 2), height: Math.ceil(height / 2) } : { width, height };
}

/** On white; at half the size, each pixel is the mean of four. */
function draw(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "low";
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}
