/* Fills each part of the page from its own service, and again every quarter of a minute while nobody
   works in it. A part that cannot be had says so; the others stay. */
(function () {
  'use strict';

  var AGAIN = 15000;
  var LONGEST = 6000;

  function isUsed(part) {
    return part.contains(document.activeElement) || part.querySelector('details[open]') !== null;
  }

  function tell(part, words) {
    var line = document.createElement('p');
    line.className = 'notice care';
    line.textContent = words;
    part.textContent = '';
    part.appendChild(line);
    part.dataset.state = 'away';
  }

  function fill(part) {
    if (isUsed(part)) return Promise.resolve();
    var ending = new AbortController();
    var timer = setTimeout(function () { ending.abort(); }, LONGEST);
    return fetch(part.dataset.part, { credentials: 'same-origin', redirect: 'manual', signal: ending.signal })
      .then(function (answer) {
        if (answer.type === 'opaqueredirect' || answer.status === 401) return tell(part, part.dataset.signIn);
        if (!answer.ok) return tell(part, part.dataset.away);
        return answer.text().then(function (page) {
          if (isUsed(part)) return;
          var read = new DOMParser().parseFromString(page, 'text/html');
          part.textContent = '';
          Array.from(read.body.childNodes).forEach(function (one) { part.appendChild(document.importNode(one, true)); });
          part.dataset.state = 'here';
        });
      })
      .catch(function () { tell(part, part.dataset.away); })
      .then(function () { clearTimeout(timer); });
  }

  var parts = Array.from(document.querySelectorAll('[data-part]'));
  function all() {
    if (!document.hidden) parts.forEach(fill);
  }
  all();
  setInterval(all, AGAIN);
  document.addEventListener('visibilitychange', all);
}());
