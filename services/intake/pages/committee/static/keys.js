/* What this phone writes it cannot read: each record is sealed twice as a compact JWE (RFC 7516,
   ECDH-ES on P-256 with A256GCM), to the centre, which opens it when it arrives, and to the member,
   who opens it with a PIN and the half of a key that only the server has. The member's private key
   lies here wrapped under both; a PIN alone opens nothing. */

const ROUNDS = 600000;
const CURVE = { name: 'ECDH', namedCurve: 'P-256' };
const PAD = 1024; // bytes: how much was written is told only so coarsely
const subtle = self.crypto.subtle;
const utf8 = new TextEncoder();

export function random(bytes) {
  return self.crypto.getRandomValues(new Uint8Array(bytes));
}

export function newId() {
  const b = random(16);
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (n) => n.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function toText(bytes) {
  let letters = '';
  new Uint8Array(bytes).forEach((n) => { letters += String.fromCharCode(n); });
  return btoa(letters).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

export function toBytes(text) {
  const letters = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  return Uint8Array.from(letters, (c) => c.charCodeAt(0));
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  parts.forEach((part) => { all.set(part, at); at += part.length; });
  return all;
}

function number(value) {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value].map((n) => n & 0xff));
}

/* The Concat KDF of RFC 7518, 4.6.2, for one key of A256GCM. */
async function contentKey(publicKey, privateKey, usage) {
  const shared = await subtle.deriveBits({ name: 'ECDH', public: publicKey }, privateKey, 256);
  const name = utf8.encode('A256GCM');
  const said = [number(1), new Uint8Array(shared), number(name.length), name, number(0), number(0), number(256)];
  const key = await subtle.digest('SHA-256', joined(said));
  return subtle.importKey('raw', key, 'AES-GCM', false, [usage]);
}

/* Seal any JSON value to a public key (JWK); `more` are further protected members. */
export async function seal(jwk, value, more) {
  const bare = { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y };
  const recipient = await subtle.importKey('jwk', bare, CURVE, false, []);
  const pair = await subtle.generateKey(CURVE, true, ['deriveBits']);
  const own = await subtle.exportKey('jwk', pair.publicKey);
  const epk = { kty: own.kty, crv: own.crv, x: own.x, y: own.y };
  const header = Object.assign({ alg: 'ECDH-ES', enc: 'A256GCM', epk: epk }, jwk.kid ? { kid: jwk.kid } : {}, more);
  const first = toText(utf8.encode(JSON.stringify(header)));
  const key = await contentKey(recipient, pair.privateKey, 'encrypt');
  const plain = utf8.encode(JSON.stringify(value));
  const padded = new Uint8Array(Math.ceil(plain.length / PAD) * PAD).fill(0x20);
  padded.set(plain);
  const iv = random(12);
  const how = { name: 'AES-GCM', iv: iv, additionalData: utf8.encode(first) };
  const sealed = new Uint8Array(await subtle.encrypt(how, key, padded));
  return [first, '', toText(iv), toText(sealed.slice(0, -16)), toText(sealed.slice(-16))].join('.');
}

/* Open what was sealed to the member. Rejects when it was changed or is another's. */
export async function open(privateKey, jwe) {
  const parts = jwe.split('.');
  const header = JSON.parse(new TextDecoder().decode(toBytes(parts[0])));
  const sender = await subtle.importKey('jwk', header.epk, CURVE, false, []);
  const key = await contentKey(sender, privateKey, 'decrypt');
  const how = { name: 'AES-GCM', iv: toBytes(parts[2]), additionalData: utf8.encode(parts[0]) };
  const plain = await subtle.decrypt(how, key, joined([toBytes(parts[3]), toBytes(parts[4])]));
  return JSON.parse(new TextDecoder().decode(plain));
}

async function stretched(pin, salt, rounds) {
  const typed = await subtle.importKey('raw', utf8.encode(pin), 'PBKDF2', false, ['deriveBits']);
  const how = { name: 'PBKDF2', hash: 'SHA-256', salt: salt, iterations: rounds };
  const bits = await subtle.deriveBits(how, typed, 256);
  return subtle.importKey('raw', bits, 'HKDF', false, ['deriveBits', 'deriveKey']);
}

function derivation(info, salt) {
  return { name: 'HKDF', hash: 'SHA-256', salt: salt, info: utf8.encode(info) };
}

async function proofOf(base) {
  return toText(await subtle.deriveBits(derivation('pashe committee proof', new Uint8Array(0)), base, 256));
}

function wrapping(base, half) {
  const how = derivation('pashe committee wrapping', toBytes(half));
  return subtle.deriveKey(how, base, { name: 'AES-GCM', length: 256 }, false, ['wrapKey', 'unwrapKey']);
}

/* Begin a phone. `register(id, proof)` asks the server for its half. Returns what is kept here and
   the open private key, which cannot be exported. */
export async function begin(pin, register) {
  const phone = { id: newId(), salt: random(16), rounds: ROUNDS, iv: random(12) };
  const base = await stretched(pin, phone.salt, phone.rounds);
  const half = await register(phone.id, await proofOf(base));
  const pair = await subtle.generateKey(CURVE, true, ['deriveBits']);
  const wrap = await wrapping(base, half);
  phone.wrapped = await subtle.wrapKey('pkcs8', pair.privateKey, wrap, { name: 'AES-GCM', iv: phone.iv });
  phone.jwk = await subtle.exportKey('jwk', pair.publicKey);
  return { phone: phone, key: await unwrapped(phone, wrap) };
}

function unwrapped(phone, wrap) {
  const how = { name: 'AES-GCM', iv: phone.iv };
  return subtle.unwrapKey('pkcs8', phone.wrapped, wrap, how, CURVE, false, ['deriveBits']);
}

/* Unlock a phone. `ask(id, proof)` proves the PIN to the server and returns its half. */
export async function unlock(phone, pin, ask) {
  const base = await stretched(pin, phone.salt, phone.rounds);
  const half = await ask(phone.id, await proofOf(base));
  return unwrapped(phone, await wrapping(base, half));
}
