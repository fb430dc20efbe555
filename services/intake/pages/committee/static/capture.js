/* The forms: what was filled in becomes a report or an addition; what is empty is unknown. */

const $ = (id) => document.getElementById(id);

let replaced = null; // id of the kept item that the open form takes the place of

function ticked(form, name) {
  return Array.from(form.querySelectorAll('[name="' + name + '"]:checked'), (one) => one.value);
}

/* Return a whole number that was typed in either script; null for anything else. */
export function number(form, name) {
  const value = form[name].value.trim().replace(/[০-৯]/g, (d) => String(d.charCodeAt(0) - 0x09e6));
  return /^[0-9]{1,3}$/.test(value) ? Number(value) : null;
}

function person(form) {
  const age = number(form, 'age');
  const phone = form.phone.value.trim();
  const safe = ticked(form, 'safe')[0] === 'yes' && phone;
  const told = { ref: 'a', sex: ticked(form, 'sex')[0] || 'unknown' };
  if (form.who.value.trim()) told.name = form.who.value.trim();
  if (age !== null && age <= 120) told.age = { min: age, max: age, basis: 'estimated' };
  if (phone) told.phone = phone;
  if (safe) {
    told.safe_contact = { allowed: true, channel: 'voice', number: phone };
    if (form.hours.value.trim()) told.safe_contact.ask_for = form.hours.value.trim().slice(0, 200);
  }
  return told;
}

/* Return the item of a new report. Nobody's consent is said: that is asked by the centre. */
export function report() {
  const form = $('report-form');
  const place = form.place.value.trim();
  const danger = ticked(form, 'danger')[0];
  const body = {
    language: document.documentElement.lang,
    about: ticked(form, 'about')[0] || 'unsure',
    device_time: new Date().toISOString(),
    reporter: { kind: 'ctc_member' },
    persons: ticked(form, 'about')[0] === 'place' ? [] : [person(form)],
    places: place ? [{ role: 'event', text: place }] : [],
    concerns: ticked(form, 'concern'),
    danger_now: danger ? danger === 'yes' : null,
  };
  if (form.story.value.trim()) body.narrative = form.story.value.trim();
  return { report: body };
}

/* Return the item of an addition to an own report. */
export function addition() {
  const form = $('addition-form');
  const danger = ticked(form, 'more-danger')[0];
  const place = form['more-place'].value.trim();
  const body = {
    adds_to: form.dataset.report,
    base_version: Number(form.dataset.version),
    device_time: new Date().toISOString(),
  };
  if (form['more-story'].value.trim()) body.text = form['more-story'].value.trim();
  if (danger) body.danger_now = danger === 'yes';
  if (place) body.places = [{ role: 'now', text: place }];
  return body;
}

/* Begin an addition to a report that is listed: {id, version}. */
export function begin(told) {
  clear();
  $('addition-form').dataset.report = told.id;
  $('addition-form').dataset.version = String(told.version);
}

function tick(form, name, values) {
  form.querySelectorAll('[name="' + name + '"]').forEach((one) => { one.checked = values.indexOf(one.value) >= 0; });
}

/* Fill the forms with what was kept. */
export function fill(body) {
  clear();
  if (body.adds_to) {
    const form = $('addition-form');
    begin({ id: body.adds_to, version: body.base_version });
    form['more-story'].value = body.text || '';
    form['more-place'].value = body.places ? body.places[0].text : '';
    tick(form, 'more-danger', body.danger_now === undefined ? [] : [body.danger_now ? 'yes' : 'no']);
    return;
  }
  const form = $('report-form');
  const said = body.report;
  const one = said.persons[0] || {};
  form.who.value = one.name || '';
  form.age.value = one.age ? String(one.age.min) : '';
  form.phone.value = one.phone || '';
  form.hours.value = one.safe_contact ? one.safe_contact.ask_for || '' : '';
  form.place.value = said.places[0] ? said.places[0].text : '';
  form.story.value = said.narrative || '';
  tick(form, 'about', [said.about]);
  tick(form, 'sex', [one.sex]);
  tick(form, 'safe', [one.safe_contact ? 'yes' : 'no']);
  tick(form, 'concern', said.concerns);
  tick(form, 'danger', said.danger_now === null ? [] : [said.danger_now ? 'yes' : 'no']);
}

/* The open form takes the place of a kept item. */
export function replaces(id) {
  replaced = id;
}

/* Return which item the form takes the place of, once. */
export function taken() {
  const id = replaced;
  replaced = null;
  return id;
}

export function clear() {
  replaced = null;
  $('report-form').reset();
  $('addition-form').reset();
}
