// The page without a network: answers from what was kept. VERSION is written above this line, so that the
// browser sees a new page as a new service worker. That one takes over when the last tab of the old closes.

const PREFIX = `foodvision ${registration.scope} `;
const CACHE = PREFIX + VERSION;
const SHELL = [
  ...["./", "app.js", "camera.js", "engine.js", "load.js", "photo.js", "webp.js", "worker.js"],
  ...["style.css", "page.json", "known.png"],
];

oninstall = (event) => {
  const fresh = SHELL.map((path) => new Request(path, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(fresh)));
};

onactivate = (event) => event.waitUntil(removeOld());

async function removeOld() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

onfetch = (event) => {
  const { request } = event;
  event.respondWith(request.method === "GET" ? answer(request) : Response.error());
};

async function answer(request) {
  const cache = await caches.open(CACHE);
  const { origin, pathname } = new URL(request.url);
  const address = (origin + pathname).replace(/\/index\.html$/, "/");
  const kept = await cache.match(address);
  if (!kept) return fetch(request);
  if (request.mode !== "navigate") return kept;
  // These two let WebAssembly use several threads. A new response, because the kept one may be a redirect's.
  const headers = new Headers(kept.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(kept.body, { headers });
}
