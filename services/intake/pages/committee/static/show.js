/* Shows states and lists; every word comes from the page's `<template id="words">`. */

export const $ = (id) => document.getElementById(id);

const SCREENS = ['home', 'report', 'addition'];
const BANGLA = '০১২৩৪৫৬৭৮৯';

export function only(screen) {
  SCREENS.forEach((one) => { $(one).hidden = one !== screen; });
  const first = $(screen).querySelector('h1, h2');
  if (first) first.focus();
  window.scrollTo(0, 0);
}

function digits(value) {
  const text = String(value);
  return document.documentElement.lang === 'bn' ? text.replace(/[0-9]/g, (d) => BANGLA[d]) : text;
}

export function word(name, value) {
  const found = $('words').content.querySelector('[data-word="' + name + '"]');
  return (found ? found.textContent : '').replace('{n}', value === undefined ? '' : digits(value));
}

export function say(name, value) {
  $('said').textContent = word(name, value);
}

function made(tag, kind, text) {
  const one = document.createElement(tag);
  if (kind) one.className = kind;
  if (text !== undefined) one.textContent = text;
  return one;
}

function button(name, act) {
  const one = made('button', 'button second', word(name));
  one.type = 'button';
  one.addEventListener('click', act);
  return one;
}

function fill(id, rows) {
  const list = $(id);
  list.textContent = '';
  rows.forEach((row) => list.appendChild(row));
  $(id + '-section').hidden = rows.length === 0;
}

function day(text) {
  const locale = document.documentElement.lang === 'bn' ? 'bn-BD' : 'en-GB';
  return new Date(text).toLocaleDateString(locale, { day: 'numeric', month: 'long', timeZone: 'Asia/Dhaka' });
}

function hour(text) {
  const locale = document.documentElement.lang === 'bn' ? 'bn-BD' : 'en-GB';
  const how = { hour: '2-digit', minute: '2-digit', hour12: false, timeZone: 'Asia/Dhaka' };
  return day(text) + ', ' + new Date(text).toLocaleTimeString(locale, how);
}

/* Items that wait: which day, what kind, in which state, and why when the centre refused one. */
export function queue(items, unlocked, acts) {
  fill('queue', items.map((item) => {
    const row = made('li', 'row');
    row.dataset.state = item.state;
    row.appendChild(made('strong', '', word(item.kind) + ' · ' + day(item.day)));
    row.appendChild(made('span', 'state', word('state-' + item.state)));
    if (item.state === 'refused') {
      row.appendChild(made('p', '', word('why-' + item.reason) || word('why-other')));
      row.appendChild(button('discard', () => acts.drop(item)));
    }
    if (unlocked) row.appendChild(button('read', () => acts.open(item)));
    return row;
  }));
}

/* What was sent just now; an unlocked page shows each receipt, this once. Conflicts are explained. */
export function sent(told, unlocked) {
  const rows = told.filter((one) => one.result === 'stored' || one.result === 'repeated').map((one) => {
    const row = made('li', 'row');
    row.dataset.result = one.result;
    row.appendChild(made('strong', '', word(one.kind)));
    row.appendChild(made('span', 'state', word('result-' + one.result)));
    if (one.receipt && !unlocked) row.appendChild(made('p', 'note', word('receipt-locked')));
    if (one.receipt && unlocked) {
      row.appendChild(made('p', 'secret-number', digits(one.receipt)));
      row.appendChild(made('p', 'note', word('receipt-once')));
    }
    (one.to_decide || []).forEach((about) => row.appendChild(made('p', 'note', word('decide-' + about))));
    return row;
  });
  if (rows.length > 0) fill('sent', rows);
}

/* Own reports as stubs. */
export function reports(items, more) {
  fill('reports', items.map((item) => {
    const row = made('li', 'row');
    row.appendChild(made('strong', '', word('report') + ' ' + (item.id || '').slice(0, 4).toUpperCase()));
    row.appendChild(made('span', 'state', word('case-' + item.status)));
    if (item.id && item.status === 'open') row.appendChild(button('add-more', () => more(item)));
    return row;
  }));
}

/* What a coordinator asked. */
export function tasks(items, answer) {
  fill('tasks', items.map((item) => {
    const row = made('li', 'row');
    row.appendChild(made('strong', '', word('task-' + item.kind)));
    row.appendChild(made('span', 'state', hour(item.at)));
    ['done', 'could_not', 'not_safe'].forEach((outcome) => {
      row.appendChild(button('outcome-' + outcome, () => answer(item, outcome)));
    });
    return row;
  }));
}

/* Leave nothing on the screen that only an unlocked page shows. */
export function forget() {
  ['queue', 'sent', 'reports', 'tasks'].forEach((id) => fill(id, []));
  $('said').textContent = '';
}
