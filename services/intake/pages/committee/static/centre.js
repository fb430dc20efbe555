/* What is asked of the centre. Every answer is JSON; what could not be asked is `Away`. */

export class Away extends Error {}

export class Refused extends Error {
  constructor(status, body) {
    super(String(status));
    this.status = status;
    this.body = body;
  }
}

async function ask(method, path, body, headers) {
  const how = { method: method, credentials: 'same-origin', cache: 'no-store', headers: Object.assign({}, headers) };
  if (body !== undefined) {
    how.headers['Content-Type'] = 'application/json';
    how.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, how);
  } catch (error) {
    throw new Away();
  }
  if (answer.status >= 500 || answer.status === 429) throw new Away();
  const told = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

const HERE = '/intake/v1/committee/';

export const session = () => ask('GET', '/intake/v1/session');
export const keys = () => ask('GET', '/intake/v1/keys');
export const reports = () => ask('GET', HERE + 'reports?limit=200');
export const tasks = () => ask('GET', HERE + 'tasks');
export const answerTask = (id, outcome) => ask('POST', HERE + 'tasks/' + id + '/answer', { outcome: outcome });
export const send = (items) => ask('POST', HERE + 'batches', { items: items });
export const makePhone = (id, proof) => ask('POST', HERE + 'phones', { phone_id: id, proof: proof }).then((told) => told.half);
export const openPhone = (id, proof) => ask('POST', HERE + 'phones/' + id + '/open', { proof: proof }).then((told) => told.half);
export const answerModule = (name, answers) => ask('POST', '/intake/v1/training/modules/' + name, { answers: answers });
export const countTalk = (id, body) => ask('POST', '/intake/v1/awareness/sessions', body, { 'Idempotency-Key': id });
export const endPhone = (id) => ask('DELETE', HERE + 'phones/' + id);
