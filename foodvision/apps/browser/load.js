// Files of the model and its runtime: fetched, checked against their SHA-256, kept for the next visit.

/** The name of the cache that sw.js answers from. */
export function cacheName(version) {
  return `foodvision ${new URL("./", location).href} ${version}`;
}

/** The content of a file of page.json; an error with a sentence if it is not the file that is meant. */
export async function loadFile(file, cache, onBytes) {
  const name = file.url.split("/").pop();
  const address = new URL(file.url, location).href;
  let response;
  try {
    response = await fetch(address, { credentials: "omit" });
  } catch {
    throw new Error(`${name} could not be loaded: the network was lost, or ${new URL(address).host} did not answer. Reload the page.`);
  }
  if (!response.ok) throw new Error(`${name} could not be loaded (HTTP status ${response.status}).`);
  const content = await readAll(response.clone().body, file.bytes, onBytes);
  if (content === null || (await sha256(content)) !== file.sha256) {
    await cache?.delete(address);
    throw new Error(`${name} is not the file that this page was made with (its SHA-256 differs). It was not used.`);
  }
  await cache?.put(address, new Response(content)).catch(() => {}); // see `areKept`
  return content.buffer;
}

/** Whether all of these files will be there without a network: a full disk keeps none. */
export async function areKept(files, cache) {
  const found = await Promise.all(files.map((file) => cache?.match(new URL(file.url, location).href)));
  return found.every(Boolean);
}

/** The bytes of a stream, or null if there are not exactly `size`. */
async function readAll(stream, size, onBytes) {
  const content = new Uint8Array(size);
  let read = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return read === size ? content : null;
    if (read + value.length > size) {
      await reader.cancel();
      return null;
    }
    content.set(value, read);
    read += value.length;
    onBytes(value.length);
  }
}

async function sha256(content) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
