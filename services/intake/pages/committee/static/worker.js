/* Keeps the page itself for when there is no network; never anything that anybody wrote or read. */

const VERSION = 'committee-{{ version }}';
const SHELL = {{ shell | tojson }};

self.addEventListener('install', (event) => {
  const asked = SHELL.map((path) => new Request(path, { cache: 'reload' }));
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(asked)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const old = (names) => names.filter((name) => name.startsWith('committee-') && name !== VERSION);
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(old(names).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  const known = SHELL.indexOf(url.pathname + url.search) >= 0;
  if (event.request.method !== 'GET' || url.origin !== self.location.origin || !known) return;
  event.respondWith(
    caches.open(VERSION).then((cache) => cache.match(url.pathname + url.search))
      .then((kept) => kept || fetch(event.request)),
  );
});
