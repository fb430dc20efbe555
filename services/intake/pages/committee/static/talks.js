/* Talks in a courtyard: how many came, of nobody who. Kept without a network, counted once each. */

import * as centre from './centre.js';
import * as store from './store.js';
import { newId } from './keys.js';
import { number } from './capture.js';
import { $, word } from './show.js';

const KEPT = 'talks';
const PEOPLE = ['women', 'men', 'girls', 'boys'];

/* Keep the count of the form; it has an id, so that it is counted once however often it is sent. */
export async function keep() {
  const form = $('talk-form');
  const body = { set: form.set.value, day: form.day.value };
  PEOPLE.forEach((who) => { body[who] = number(form, who) || 0; });
  await store.keep(KEPT, (await kept()).concat({ id: newId(), body: body }));
  form.reset();
  tell('talk-kept');
}

/* Send what was counted; what the centre refuses is put into the form again. Another count may be
   kept meanwhile: what waits is read anew each time. */
export async function send() {
  let waiting = await kept();
  while (waiting.length > 0) {
    const first = waiting[0];
    try {
      await centre.countTalk(first.id, first.body);
      tell('talk-counted');
    } catch (error) {
      if (!(error instanceof centre.Refused)) throw error;
      fill(first.body);
      tell(noPlace(error.body) ? 'talk-no-place' : 'talk-refused');
    }
    waiting = (await kept()).filter((one) => one.id !== first.id);
    await store.keep(KEPT, waiting);
  }
}

async function kept() {
  return (await store.find(KEPT)) || [];
}

function fill(body) {
  const form = $('talk-form');
  Object.keys(body).forEach((name) => { form[name].value = String(body[name]); });
}

function noPlace(body) {
  return (body.errors || []).some((one) => one.field === 'place');
}

function tell(name) {
  $('talk-outcome').textContent = word(name);
}
