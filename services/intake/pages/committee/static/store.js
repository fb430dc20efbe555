/* What lies on the phone: its own record, and items that wait, sealed. Nothing in clear but ids,
   states, the day, and answers to a module. */

import { openDB, deleteDB } from './idb.js';

const NAME = 'committee';

function opened() {
  return openDB(NAME, 1, {
    upgrade(db) {
      db.createObjectStore('own');
      db.createObjectStore('items', { keyPath: 'id' });
    },
  });
}

async function within(act) {
  const db = await opened();
  try {
    return await act(db);
  } finally {
    db.close();
  }
}

export function find(name) {
  return within((db) => db.get('own', name));
}

export function keep(name, value) {
  return within((db) => db.put('own', value, name));
}

export function drop(name) {
  return within((db) => db.delete('own', name));
}

/* An item is {id, nth, day, state, reason, sealed, own}; states: waiting, refused. */
export async function items() {
  const all = await within((db) => db.getAll('items'));
  return all.sort((a, b) => a.nth - b.nth);
}

export function put(item) {
  return within((db) => db.put('items', item));
}

export function remove(id) {
  return within((db) => db.delete('items', id));
}

export function wipe() {
  return deleteDB(NAME);
}
