// Computes, in the reader's browser, whether the entries of this page stand in the signed log.
// Asked of the server: the signed state (a C2SP note), hash tiles, and the public keys unless the
// reader pasted others. RFC 9162 for the tree, Ed25519 by WebCrypto; nothing else is believed.
"use strict";
(() => {
  const box = document.getElementById("proof");
  const says = document.getElementById("proof-says");
  const more = document.getElementById("proof-more");
  const form = document.getElementById("proof-keys");
  const STORE = "pashe-log-keys";
  const LOG = 1, WITNESS = 4, WIDTH = 256, LEVELS = 8;

  const text = (name, values = {}) => {
    const found = box.querySelector(`[data-text="${name}"]`).textContent;
    return found.replace(/\{(\w+)\}/g, (_, key) => shown(values[key]));
  };
  const shown = (value) => typeof value === "number"
    ? new Intl.NumberFormat(box.dataset.lang === "bn" ? "bn-BD" : "en", { useGrouping: false }).format(value)
    : value;

  // A day and an hour of Dhaka, as the rest of the page has them.
  const moment = (at) => {
    const part = (options) => new Intl.DateTimeFormat(box.dataset.lang === "bn" ? "bn-BD" : "en-GB", { timeZone: "Asia/Dhaka", ...options }).format(at);
    return `${part({ day: "numeric", month: "long" })} ${part({ year: "numeric" })}, ${part({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" })}`;
  };

  class Broken extends Error {
    constructor(name, values) { super(name); this.told = text(name, values); this.index = values.index; }
  }

  // --- Bytes --------------------------------------------------------------------------------

  const utf8 = (string) => new TextEncoder().encode(string);
  const fromHex = (string) => Uint8Array.from(string.match(/../g) || [], (pair) => parseInt(pair, 16));
  const fromBase64 = (string) => Uint8Array.from(atob(string.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);
  const joined = (...parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { whole.set(part, at); at += part.length; }
    return whole;
  };
  const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
  const signed = async (key, message, signature) => {
    const known = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    return crypto.subtle.verify("Ed25519", known, signature, message);
  };

  // --- Keys and the signed state ------------------------------------------------------------

  const readKeys = async (lines) => {
    const keys = { log: {}, witness: {}, service: {} };
    for (const [at, line] of lines.split("\n").entries()) {
      const words = line.trim().split(/\s+/);
      if (!words[0] || words[0].startsWith("#") || words[0] === "quorum") continue;
      try {
        if (words[0] === "service") {
          keys.service[words[1]] = fromHex(words[2]);
          continue;
        }
        // name+id+key; the key's base64 may hold plus signs
        const [, name, id, typed] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(words[words.length - 1]);
        const key = fromBase64(typed);
        const told = await sha256(utf8(`${name}\n`), key);
        const kind = { [LOG]: "log", [WITNESS]: "witness" }[key[0]];
        if (kind !== words[0] || !same(told.slice(0, 4), fromHex(id))) throw new Error("key");
        keys[kind][name] = { id: fromHex(id), key: key.slice(1) };
      } catch {
        throw new Broken("line", { line: at + 1 });
      }
    }
    return keys;
  };

  // Returns size, root, origin, and the witnesses whose cosignature holds.
  const openNote = async (note, keys) => {
    const at = note.lastIndexOf("\n\n");
    const body = note.slice(0, at + 1);
    const [origin, size, root] = body.split("\n");
    const state = { origin, size: Number(size), root: fromBase64(root), witnesses: [] };
    let byLog = false;
    for (const line of note.slice(at + 2).split("\n").filter(Boolean)) {
      const [, name, encoded] = line.split(" ");
      const raw = fromBase64(encoded);
      for (const kind of ["log", "witness"]) {
        const known = keys[kind][name];
        if (!known || !same(known.id, raw.slice(0, 4)) || (kind === "log" && name !== origin)) continue;
        const witness = kind === "witness";
        const seconds = witness ? new DataView(raw.buffer, 4, 8).getBigUint64(0) : 0n;
        const message = witness ? `cosignature/v1\ntime ${seconds}\n${body}` : body;
        if (!await signed(known.key, utf8(message), raw.slice(witness ? 12 : 4))) throw new Broken("signature", { name });
        if (witness) state.witnesses.push({ name, at: new Date(Number(seconds) * 1000) });
        else byLog = true;
      }
    }
    if (!byLog) throw new Broken("unsigned", { name: origin });
    return state;
  };

  // --- The tree, out of published tiles -----------------------------------------------------

  const ask = async (path) => {
    const answer = await fetch(`${box.dataset.log}/${path}`, { cache: path.startsWith("tile/") ? "default" : "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  };
  const once = (work) => {
    const known = new Map();
    return (...key) => {
      const name = key.join("/");
      if (!known.has(name)) known.set(name, work(...key));
      return known.get(name);
    };
  };
  const tilePath = (level, index, width) => {
    let groups = String(index % 1000).padStart(3, "0");
    for (let rest = Math.floor(index / 1000); rest; rest = Math.floor(rest / 1000)) groups = `x${String(rest % 1000).padStart(3, "0")}/${groups}`;
    return `tile/${level}/${groups}${width < WIDTH ? `.p/${width}` : ""}`;
  };
  const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

  const treeOf = (size) => {
    const tile = once(async (level, index, width) => {
      const raw = new Uint8Array(await (await ask(tilePath(level, index, width))).arrayBuffer());
      if (raw.length !== width * 32) throw new Error("tile");
      return raw;
    });
    // The hash of the perfect subtree `index` of a level.
    const perfect = once(async (level, index) => {
      if (level % LEVELS) return nodeHash(await perfect(level - 1, 2 * index), await perfect(level - 1, 2 * index + 1));
      const number = Math.floor(index / WIDTH);
      const width = Math.min(WIDTH, Math.floor(size / 2 ** level) - number * WIDTH);
      const raw = await tile(level / LEVELS, number, width);
      return raw.slice((index % WIDTH) * 32, (index % WIDTH) * 32 + 32);
    });
    const half = (count) => 2 ** Math.ceil(Math.log2(count) - 1);
    // The hash over leaves first to end; its left part is always perfect.
    const span = async (first, end) => {
      const count = end - first, level = Math.log2(count);
      if (Number.isInteger(level)) return perfect(level, first / count);
      const middle = first + half(count);
      return nodeHash(await span(first, middle), await span(middle, end));
    };
    // The root as it follows from one leaf, at its place, and everything beside its path.
    const rootFrom = async (leaf, index, first = 0, end = size) => {
      if (end - first === 1) return leaf;
      const middle = first + half(end - first);
      return index < middle
        ? nodeHash(await rootFrom(leaf, index, first, middle), await span(middle, end))
        : nodeHash(await span(first, middle), await rootFrom(leaf, index, middle, end));
    };
    return rootFrom;
  };

  // --- One entry ----------------------------------------------------------------------------

  // Returns whether its sender is proven too (true where that cannot be asked).
  const checkEntry = async (item, keys, state, rootFrom) => {
    const told = item.dataset, index = Number(told.index);
    let commitment = fromHex(told.commitment), sender = true;
    if (told.salt) {
      const value = fromBase64(told.value);
      commitment = await sha256(fromHex(told.salt), value);
      if (!same(commitment, fromHex(told.commitment))) throw new Broken("bytes-changed", { index });
      if (told.type !== "unreadable") sender = await checkEvent(item, value, keys, index);
    }
    const leaf = await sha256(Uint8Array.of(0), commitment);
    if (!same(await rootFrom(leaf, index), state.root)) throw new Broken("entry", { index });
    return sender;
  };
  const checkEvent = async (item, value, keys, index) => {
    let event;
    try {
      event = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
    } catch {
      return true;
    }
    const at = item.querySelector("time").getAttribute("datetime");
    const fits = event.type === item.dataset.type && event.subject === box.dataset.case
      && Math.abs(Date.parse(event.time) - Date.parse(at)) < 1000;
    if (!fits) throw new Broken("shown-otherwise", { index });
    const key = keys.service[String(event.source).replace("/", "")];
    return Boolean(key) && Boolean(item.dataset.signature)
      && signed(key, value, fromBase64(item.dataset.signature));
  };

  // --- The page -----------------------------------------------------------------------------

  const items = [...document.querySelectorAll("#timeline > li")];
  const mark = (item, name, kind) => {
    const badge = item.querySelector("[data-badge]");
    badge.textContent = text(name);
    badge.className = `badge ${kind}`;
    badge.hidden = false;
  };
  const head = document.getElementById("proof-badge");
  const tell = (sentence, kind, lines = [], badge = "") => {
    says.textContent = sentence;
    head.hidden = !badge;
    head.firstElementChild.textContent = badge && text(badge);
    head.firstElementChild.className = `badge ${kind}`;
    box.className = `notice ${kind}`;
    box.dataset.state = kind;
    more.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  };
  // The state that has every entry of this page: the newest ones are signed within a second or so.
  const newest = async (keys) => {
    const last = Math.max(...items.map((item) => Number(item.dataset.index)));
    for (let turn = 0; turn < 8; turn += 1) {
      const state = await openNote(await (await ask("checkpoint")).text(), keys);
      if (state.size > last) return state;
      await new Promise((done) => { setTimeout(done, 700); });
    }
    throw new Broken("waiting", {});
  };
  const check = async () => {
    tell(text("checking"), "note");
    items.forEach((item) => { item.querySelector("[data-badge]").hidden = true; });
    const pasted = localStorage.getItem(STORE) || "";
    try {
      const keys = await readKeys(pasted || await (await ask("keys")).text());
      const state = await newest(keys), rootFrom = treeOf(state.size);
      for (const item of items) {
        const sender = await checkEntry(item, keys, state, rootFrom);
        mark(item, sender ? "proven" : "sender", sender ? "good" : "care");
      }
      tell(text("holds", { count: items.length, size: state.size, name: state.origin }), "good", [
        text(items.some((item) => item.dataset.salt) ? "bytes" : "places"),
        ...(state.witnesses.length
          ? state.witnesses.map((each) => text("witness", { name: each.name, time: moment(each.at) }))
          : [text("alone")]),
        text(pasted ? "pasted" : "shown"),
        text("limit"),
      ], "proven");
    } catch (error) {
      const broken = error instanceof Broken;
      tell(broken ? error.told : text("cannot"), "care", pasted ? [text("pasted")] : [], broken && error.message !== "waiting" ? "broken" : "open");
      if (broken && error.index !== undefined) mark(items.find((item) => Number(item.dataset.index) === error.index), "broken", "care");
    }
  };

  form.elements.keys.value = localStorage.getItem(STORE) || "";
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    localStorage.setItem(STORE, form.elements.keys.value.trim());
    check();
  });
  check();
})();
