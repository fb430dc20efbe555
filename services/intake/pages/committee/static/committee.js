/* The committee's page: capture without a network, a queue, tasks, own reports, lock and wipe.
   All words are in the page itself; this only shows, hides and fills. */

import * as centre from './centre.js';
import * as keys from './keys.js';
import * as queue from './queue.js';
import * as store from './store.js';
import * as capture from './capture.js';
import * as learn from './learn.js';
import * as show from './show.js';
import * as talks from './talks.js';

const LOCK_AFTER = 5 * 60 * 1000; // milliseconds without a touch
const { $, say } = show;

let key = null; // the member's private key while the page is unlocked; it cannot be exported
let idle = 0;
let syncing = false;
let justSent = []; // what the centre answered; receipts in it are shown once, to an unlocked page
let signedIn = null; // null: not known, as without a network

function touched() {
  clearTimeout(idle);
  if (key) idle = setTimeout(lock, LOCK_AFTER);
}

function lock() {
  if (key) justSent = [];
  key = null;
  clearTimeout(idle);
  show.forget();
  capture.clear();
  home();
}

async function home() {
  const phone = await store.find('phone');
  const waiting = await store.items();
  $('network').hidden = navigator.onLine;
  $('begin').hidden = Boolean(phone);
  $('unlock').hidden = !phone || Boolean(key);
  $('inside').hidden = !key;
  $('write').hidden = !phone;
  $('lock').hidden = !key;
  $('remove').hidden = !phone;
  $('sign-in').hidden = signedIn !== false;
  show.queue(waiting, Boolean(key), { open: reopen, drop: discard });
  show.only('home');
}

/* Ask who is signed in here; without a network that stays as it was. */
async function look() {
  try {
    const told = await centre.session();
    signedIn = told.role === 'committee_member';
    $('learn-first').hidden = !signedIn || told.trained;
  } catch (error) {
    if (error instanceof centre.Refused) signedIn = false;
    return false;
  }
  if (signedIn) await store.keep('centre', (await centre.keys()).keys[0]);
  return signedIn;
}

async function sync() {
  if (syncing) return;
  syncing = true;
  say('sending');
  try {
    if (await look()) {
      const told = await queue.send();
      if (await learn.send()) await look();
      await talks.send();
      justSent = justSent.concat(told);
      show.sent(justSent, Boolean(key));
      if (key) {
        show.reports((await centre.reports()).items, writeMore);
        show.tasks((await centre.tasks()).items, answerTask);
      }
      say(wordFor(told));
    } else {
      say(signedIn === false ? 'sign-in-first' : 'no-network');
    }
  } catch (error) {
    say(error instanceof centre.Away ? 'no-network' : 'not-sent');
  } finally {
    syncing = false;
  }
  await home();
}

function wordFor(told) {
  if (told.length === 0) return 'nothing-waits';
  return told.some((one) => one.result === 'refused') ? 'some-came-back' : 'sent';
}

async function begin(event) {
  event.preventDefault();
  const form = event.target;
  const pin = form.pin.value;
  if (pin !== form.again.value) return say('pins-differ');
  say('working');
  try {
    if (!(await look())) return say(signedIn === false ? 'sign-in-first' : 'no-network');
    const made = await keys.begin(pin, centre.makePhone);
    await store.keep('phone', made.phone);
    if (navigator.storage && navigator.storage.persist) navigator.storage.persist();
    key = made.key;
    form.reset();
    say('begun');
  } catch (error) {
    return say(error instanceof centre.Away ? 'no-network' : 'not-sent');
  }
  touched();
  return sync();
}

async function unlock(event) {
  event.preventDefault();
  const form = event.target;
  const phone = await store.find('phone');
  const pin = form.pin.value;
  form.reset();
  say('working');
  try {
    if (!(await look())) return say(signedIn === false ? 'sign-in-first' : 'locked-offline');
    key = await keys.unlock(phone, pin, centre.openPhone);
  } catch (error) {
    return refused(error);
  }
  touched();
  return sync();
}

/* A wrong PIN costs a try. When the half is gone, own copies open no more; what waits is still sent. */
async function refused(error) {
  if (error instanceof centre.Away) return say('locked-offline');
  if (error.status === 403 && error.body.left > 0) return say('wrong-pin', error.body.left);
  if (error.status === 403 || error.status === 404) {
    await store.drop('phone');
    await home();
    return say('phone-ended');
  }
  return say('not-sent');
}

function write() {
  capture.clear();
  show.only('report');
}

function writeMore(report) {
  capture.begin(report);
  show.only('addition');
}

async function save(event, body) {
  event.preventDefault();
  await queue.add(body, capture.taken());
  capture.clear();
  await home();
  say('kept');
  if (navigator.onLine) await sync();
}

/* Open what waits or was refused, so that its member can put it right; it keeps its id. */
async function reopen(item) {
  const body = await keys.open(key, item.own).catch(() => null);
  if (!body) return say('not-readable');
  capture.fill(body);
  show.only(body.adds_to ? 'addition' : 'report');
  capture.replaces(item.id);
  return undefined;
}

async function discard(item) {
  if (!window.confirm(show.word('ask-discard'))) return;
  await store.remove(item.id);
  await home();
}

async function answerModule(event) {
  event.preventDefault();
  await learn.keep(event.target);
  if (navigator.onLine) await sync();
}

async function countTalk(event) {
  event.preventDefault();
  await talks.keep();
  if (navigator.onLine) await sync();
}

async function answerTask(task, outcome) {
  try {
    await centre.answerTask(task.task_id, outcome);
    say('answered');
  } catch (error) {
    say(error instanceof centre.Away ? 'no-network' : 'not-sent');
  }
  await sync();
}

/* Remove everything from this phone. What waits is sent before; if it cannot be, that is said. */
async function remove() {
  if (navigator.onLine) await sync();
  const left = (await store.items()).length;
  if (!window.confirm(left > 0 ? show.word('ask-remove-unsent', left) : show.word('ask-remove'))) return;
  const phone = await store.find('phone');
  if (phone) await centre.endPhone(phone.id).catch(() => undefined);
  lock();
  await store.wipe();
  const names = await caches.keys();
  await Promise.all(names.map((name) => caches.delete(name)));
  const workers = await navigator.serviceWorker.getRegistrations();
  await Promise.all(workers.map((worker) => worker.unregister()));
  await home();
  say('removed');
}

/* Speak the language that was chosen here last. Returns whether the page is left for it. */
async function speak() {
  const here = document.documentElement.lang;
  if (new URLSearchParams(window.location.search).get('lang') === here) await store.keep('language', here);
  const chosen = await store.find('language');
  if (!chosen || chosen === here) return false;
  window.location.replace('/committee?lang=' + chosen);
  return true;
}

async function begun() {
  if (await speak()) return;
  await home();
  if (navigator.onLine) await sync();
}

function start() {
  if (!self.crypto || !self.crypto.subtle || !self.indexedDB || !navigator.serviceWorker) {
    $('too-old').hidden = false;
    return;
  }
  $('too-old').hidden = true;
  navigator.serviceWorker.register('/committee/worker.js', { scope: '/committee' }).catch(() => say('not-kept'));
  $('begin').addEventListener('submit', begin);
  $('unlock').addEventListener('submit', unlock);
  $('report-form').addEventListener('submit', (event) => save(event, capture.report()));
  $('addition-form').addEventListener('submit', (event) => save(event, capture.addition()));
  document.querySelectorAll('form[data-module]').forEach((one) => one.addEventListener('submit', answerModule));
  $('talk-form').addEventListener('submit', countTalk);
  $('write').addEventListener('click', write);
  $('sync').addEventListener('click', sync);
  $('lock').addEventListener('click', lock);
  $('remove').addEventListener('click', remove);
  document.querySelectorAll('[data-back]').forEach((one) => one.addEventListener('click', home));
  ['pointerdown', 'keydown'].forEach((kind) => document.addEventListener(kind, touched));
  document.addEventListener('visibilitychange', () => { if (document.hidden && key) idle = setTimeout(lock, LOCK_AFTER); });
  window.addEventListener('online', sync);
  window.addEventListener('offline', home);
  begun();
}

start();
