// The page: loads what page.json lists, then classifies the images it is given.
//
// Nothing of an image can leave: once all is loaded, and before an image can be chosen, the page adds a
// content security policy that allows no connection at all, under which the workers start.

import { hasCamera, takePhoto } from "./camera.js";
import { tryCandidates } from "./engine.js";
import { areKept, cacheName, loadFile } from "./load.js";
import { kindOf, PhotoError, show, unreadable } from "./photo.js";

const LOCKED =
  "default-src 'none'; script-src blob: 'wasm-unsafe-eval'; worker-src blob:; img-src blob:; form-action 'none'";

const SHOWN_CLASSES = 5;

const at = (id) => document.getElementById(id);
const MB = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

try {
  await start();
} catch (error) {
  at("progress").hidden = true;
  say(at("status"), error.message);
}

async function start() {
  if (!globalThis.isSecureContext || !globalThis.OffscreenCanvas || !globalThis.WebAssembly) {
    throw new Error("This page needs an address that begins with https://, and a browser of 2023 or later.");
  }
  const page = await (await fetch("page.json")).json();
  const registered = keepShell();
  const wanted = await runtimesFor(page);
  const loaded = await loadAll(page, wanted);
  await registered;
  lock();
  say(at("status"), "Checking the model on an image whose answer is known …");
  const trials = [];
  let fastest = null;
  await tryAll(page, loaded, (trial) => {
    trials.push(trial);
    if (trial.wrong === null && !(fastest?.milliseconds <= trial.milliseconds)) {
      fastest?.engine.end();
      fastest = trial;
    } else {
      trial.engine.end();
    }
    if (!fastest) return;
    tell(page, trials, fastest);
    if (at("ask").hidden) {
      // The first answers while others are still being tried.
      at("loading").hidden = true;
      at("ask").hidden = false;
      listen(page, () => fastest);
    }
  });
  if (!fastest) {
    const reasons = trials.map(({ name, wrong }) => `${name}: ${wrong}`).join(" ");
    throw new Error(`The model does not run in this browser. ${reasons}`);
  }
}

/** The service worker keeps the page itself. */
async function keepShell() {
  try {
    await navigator.serviceWorker.register("sw.js");
  } catch {
    // Private windows and some frames have none: the page needs the network at each visit.
  }
}

/** WebAssembly, and WebGPU where the browser has it. */
async function runtimesFor(page) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter ? page.runtimes : { wasm: page.runtimes.wasm };
}

async function loadAll(page, runtimes) {
  const cache = await globalThis.caches?.open(cacheName(page.version)).catch(() => null);
  const files = [page.model.graph, page.model.weights];
  for (const { module, binary } of Object.values(runtimes)) files.push(module, binary);
  const total = sum(files);
  const text =
    `Loading ${MB(total)}, once: the model (${MB(sum(files.slice(0, 2)))}) and ` +
    `ONNX Runtime (${MB(sum(files.slice(2)))}).`;
  say(at("status"), text);
  at("progress").hidden = false;
  let read = 0;
  const onBytes = (count) => (at("progress").value = (read += count) / total);
  const load = (file) => loadFile(file, cache, onBytes);
  const [graph, weights] = [await load(files[0]), await load(files[1])];
  const opened = {};
  for (const [provider, { module, binary }] of Object.entries(runtimes)) {
    opened[provider] = { module: await load(module), binary: await load(binary) };
  }
  if (await areKept(files, cache)) {
    navigator.serviceWorker?.ready.then(() => (at("offline").hidden = false));
  }
  const known = await (await fetch("known.png")).blob();
  const script = new Blob([await (await fetch("worker.js")).text()], { type: "text/javascript" });
  return { graph, weights, runtimes: opened, known, script };
}

function lock() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = LOCKED;
  document.head.append(policy);
}

function tryAll(page, { graph, weights, runtimes, known, script }, onTrial) {
  const { wasm, webgpu } = runtimes;
  const candidates = [{ name: "WebAssembly", provider: "wasm", threads: 1, ...wasm }];
  const threads = Math.min(4, navigator.hardwareConcurrency);
  if (globalThis.crossOriginIsolated && threads > 1) {
    // From the second visit on, by headers that sw.js adds. On a busy machine one thread is faster.
    candidates.push({ name: `WebAssembly with ${threads} threads`, provider: "wasm", threads, ...wasm });
  }
  if (webgpu) candidates.push({ name: "WebGPU", provider: "webgpu", threads: 1, ...webgpu });
  const weightsName = page.model.weights.url.split("/").pop();
  const opened = { graph, weights, weightsName, resizedSide: page.resized_side };
  return tryCandidates(page, candidates, { opened, known, script }, onTrial);
}

function listen(page, fastest) {
  let latest = 0;
  const classify = async (getImage, more = 0) => {
    const mine = ++latest;
    at("result").ariaBusy = "true";
    say(at("problem"), more ? `Only the first of ${more + 1} images is classified.` : "");
    try {
      const image = await getImage();
      if (!image || mine !== latest) return;
      at("result").hidden = false;
      const { engine, name } = fastest();
      const answer = await engine.ask("classify", { image }).catch(async (error) => {
        throw error.unreadable ? unreadable(await kindOf(image)) : error;
      });
      if (mine === latest) showAnswer(page, name, answer);
    } catch (error) {
      if (mine !== latest) return;
      at("result").hidden = true;
      const failed = `The model failed on this image: ${error.message} Reload the page and try again.`;
      say(at("problem"), error instanceof PhotoError ? error.message : failed);
    } finally {
      if (mine === latest) at("result").ariaBusy = "false";
    }
  };
  const open = (files) => {
    if (files.length) classify(() => shown(files[0]), files.length - 1);
    else say(at("problem"), "Only image files can be dropped or pasted here.");
  };
  at("file").onchange = () => {
    if (at("file").files.length) open([...at("file").files]);
    at("file").value = ""; // the same file may be chosen again
  };
  document.onpaste = (event) => open([...event.clipboardData.files]);
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  document.ondragleave = (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  };
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    open([...event.dataTransfer.files]);
  };
  at("camera").hidden = !hasCamera;
  at("camera").onclick = () => classify(frame);
}

async function shown(file) {
  return show(file, at("photo"));
}

async function frame() {
  let bitmap;
  try {
    bitmap = await takePhoto();
  } catch {
    throw new PhotoError("The camera cannot be used: there is none, or this page may not use it.");
  }
  if (!bitmap) return null;
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return shown(await canvas.convertToBlob()); // PNG
}

function showAnswer(page, name, { probabilities, distance, seconds }) {
  const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const [first] = order;
  const { min_probability: lowest, max_distance: largest } = page.limits ?? {};
  const sure = !page.limits || (probabilities[first] >= lowest && distance <= largest);
  at("label").textContent = page.classes[first];
  at("unsure").hidden = sure;
  at("classes").replaceChildren(
    ...order.slice(0, SHOWN_CLASSES).map((i) => row(page.classes[i], probabilities[i])),
  );
  say(at("seconds"), `${seconds.toFixed(seconds < 0.1 ? 3 : 2)} s with ${name} on this device`);
}

function row(name, probability) {
  const item = document.createElement("li");
  const [bar, label, percent] = ["i", "span", "data"].map((kind) => document.createElement(kind));
  bar.style.width = `${probability * 100}%`;
  label.textContent = name;
  percent.value = probability;
  percent.textContent = `${(probability * 100).toFixed(1)}%`;
  item.append(bar, label, percent);
  return item;
}

/** What a visitor may want to know of the model, and of this browser's choice. */
function tell(page, trials, fastest) {
  const files = [page.model.graph, page.model.weights];
  const facts = [
    ...page.facts,
    `It knows ${page.classes.length} classes: ${page.classes.join(", ")}.`,
    `The model has ${MB(sum(files))}, in ${page.precision}; it runs on ONNX Runtime ${page.runtime_version}.`,
    ...trials.map(({ name, milliseconds, wrong }) => {
      if (wrong !== null) return `${name} is not used. ${wrong}`;
      return `${name}: ${milliseconds.toFixed(0)} ms on a known image.${name === fastest.name ? " It is used." : ""}`;
    }),
  ];
  at("facts").replaceChildren(
    ...facts.map((fact) => Object.assign(document.createElement("li"), { textContent: fact })),
  );
  at("about").hidden = false;
}

function say(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

function sum(files) {
  return files.reduce((total, { bytes }) => total + bytes, 0);
}
