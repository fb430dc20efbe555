/* The queue: what was written waits sealed, is sent in batches when the centre is there, and leaves
   the phone as soon as the centre has it. What the centre refuses stays until its member decides. */

import * as centre from './centre.js';
import * as store from './store.js';
import { newId, seal } from './keys.js';

const AT_ONCE = 20;

function today() {
  return new Date().toISOString().slice(0, 10);
}

/* Keep a report or an addition, in the place of a kept item if one is named; returns its id. */
export async function add(body, kept) {
  const id = kept || newId();
  const phone = await store.find('phone');
  const key = await store.find('centre');
  const item = {
    id: id,
    nth: Date.now(),
    day: today(),
    kind: body.adds_to ? 'addition' : 'report',
    state: 'waiting',
    sealed: await seal(key, body, { item: id }),
    own: await seal(phone.jwk, body),
  };
  await store.put(item);
  return id;
}

/* Send what waits. Returns what became of each: [{id, kind, result, …}]; stops when nobody answers. */
export async function send() {
  const told = [];
  let waiting = (await store.items()).filter((item) => item.state === 'waiting');
  while (waiting.length > 0) {
    const batch = waiting.slice(0, AT_ONCE);
    waiting = waiting.slice(AT_ONCE);
    const answer = await centre.send(batch.map((item) => ({ id: item.id, sealed: item.sealed })));
    for (let i = 0; i < batch.length; i += 1) {
      told.push(await settle(batch[i], answer.items[i]));
    }
  }
  return told;
}

async function settle(item, answer) {
  if (answer.result === 'stored' || answer.result === 'repeated') {
    await store.remove(item.id);
  } else if (answer.result === 'refused') {
    await store.put(Object.assign({}, item, { state: 'refused', reason: reasonOf(answer) }));
  }
  return Object.assign({ kind: item.kind }, answer, { id: item.id });
}

/* A stable word, never a value: which rule a field breaks, or why the state does not allow it. */
function reasonOf(answer) {
  const wrong = (answer.errors || [])[0];
  return wrong ? wrong.rule : answer.reason;
}
