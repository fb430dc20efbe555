/* Modules: read and answered without a network too; the centre looks at the answers when it is there. */

import * as centre from './centre.js';
import * as store from './store.js';
import { word } from './show.js';

const KEPT = 'answers';

function formOf(name) {
  return document.querySelector('form[data-module="' + name + '"]');
}

function tell(name, text) {
  const form = formOf(name);
  if (form) form.querySelector('.outcome').textContent = text;
}

function answersOf(form) {
  return Array.from(form.querySelectorAll('fieldset')).map((one) => {
    const chosen = one.querySelector('input:checked');
    return chosen ? Number(chosen.value) : null;
  });
}

/* Keep the answers of a form; what was kept of the same module before is replaced. */
export async function keep(form) {
  const kept = Object.assign({}, await store.find(KEPT));
  kept[form.dataset.module] = answersOf(form);
  await store.keep(KEPT, kept);
  tell(form.dataset.module, word('module-kept'));
}

/* Send what was answered, and say what was not right; returns how many were passed. */
export async function send() {
  const kept = Object.assign({}, await store.find(KEPT));
  const names = Object.keys(kept);
  let passed = 0;
  for (let i = 0; i < names.length; i += 1) {
    const name = names[i];
    try {
      const told = await centre.answerModule(name, kept[name]);
      show(name, told);
      if (told.passed) passed += 1;
    } catch (error) {
      if (!(error instanceof centre.Refused)) throw error;
    }
    await forget(name, kept[name]);
  }
  return passed;
}

/* Forget what was sent, and nothing that was answered meanwhile. */
async function forget(name, answers) {
  const kept = Object.assign({}, await store.find(KEPT));
  if (String(kept[name]) === String(answers)) delete kept[name];
  await store.keep(KEPT, kept);
}

function show(name, told) {
  const form = formOf(name);
  if (!form) return;
  form.querySelectorAll('fieldset').forEach((one, number) => {
    one.querySelector('.wrong').hidden = !told.wrong.includes(number);
  });
  tell(name, told.passed ? word('module-passed') : word('module-again', told.wrong.length));
}
