// Looks for the number that brings a report forward while many others wait: SHA-256 of
// "challenge:number" begins with so many zero bits (24 at most). Told [challenge, bits], it answers
// "challenge:number". Nobody has to wait for it: a report without it is taken all the same.
"use strict";
const frac = (value) => ((value - Math.floor(value)) * 4294967296) | 0;
const START = [], KEYS = [];
for (let n = 2; KEYS.length < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0;
  if (!prime) continue;
  if (START.length < 8) START.push(frac(Math.sqrt(n)));
  KEYS.push(frac(Math.pow(n, 1 / 3)));
}

const words = new Int32Array(64);
const turn = (x, n) => (x >>> n) | (x << (32 - n));

function mix(state, block, at) {
  for (let i = 0; i < 16; i++) words[i] = block.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i++) {
    const x = words[i - 15], y = words[i - 2];
    const s = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3), t = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
    words[i] = (words[i - 16] + s + words[i - 7] + t) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25), t = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const u = (h + s + ((e & f) ^ (~e & g)) + KEYS[i] + words[i]) | 0;
    const v = (t + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + u) | 0; d = c; c = b; b = a; a = (u + v) | 0;
  }
  return [a, b, c, d, e, f, g, h].map((one, i) => (one + state[i]) | 0);
}

const bytes = new Uint8Array(192), block = new DataView(bytes.buffer);

// The first 32 bits of the hash of an ASCII text of at most 119 signs.
function begins(text) {
  const ends = text.length < 56 ? 64 : 128;
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  bytes.fill(0, text.length, ends);
  bytes[text.length] = 128;
  block.setInt32(ends - 4, text.length * 8);
  let state = START;
  for (let at = 0; at < ends; at += 64) state = mix(state, block, at);
  return state[0];
}

self.onmessage = (told) => {
  const [challenge, bits] = told.data;
  let number = 0;
  while (begins(`${challenge}:${number}`) >>> (32 - bits) !== 0) number++;
  self.postMessage(`${challenge}:${number}`);
};
