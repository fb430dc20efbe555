// The desk's keys, its quiet bar of what is new, what a call is kept by, and parts of other services.
// Every page works without it.
"use strict";

const rows = () => [...document.querySelectorAll("#queue .row")];

function step(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  if (next) {
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

// The first thing that can be filled in or pressed in an element, unfolded when it is folded.
function enter(place) {
  if (!place) return;
  const folded = place.closest("details:not([open])") || place.querySelector("details:not([open])");
  if (folded) folded.open = true;
  const first = place.querySelector("form input:not([type=hidden]), form select, form textarea, form button") || place;
  first.focus();
  first.scrollIntoView({ block: "center" });
}

const GO = {
  j: () => step(1),
  k: () => step(-1),
  t: () => document.activeElement.closest("li")?.querySelector(".take button")?.click(),
  n: () => enter(document.querySelector("#next details[open]") || document.querySelector("#next details")),
  h: () => enter(document.querySelector('#referrals form[action$="/release"]') || document.querySelector("#referrals details")),
  u: () => document.querySelector(".crumb a")?.click(),
  "/": () => document.querySelector('a[href="/desk/search"]')?.click(),
};

// Keys of one letter can be turned off (WCAG 2.1.4): who speaks to the machine says letters.
const OFF = "desk-keys-off";
for (const button of document.querySelectorAll(".keys button")) {
  const tell = () => { button.textContent = localStorage.getItem(OFF) ? button.dataset.on : button.dataset.off; };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (localStorage.getItem(OFF)) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
    tell();
  });
  tell();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.ctrlKey) event.target.closest("form")?.requestSubmit();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=radio], [type=checkbox]), textarea, select")) return;
  const go = GO[event.key];
  if (!go || localStorage.getItem(OFF)) return;
  event.preventDefault();
  go();
});

// A page that answered a form has its own address from now on: going back sends nothing again.
const back = document.querySelector('meta[name="come-back"]');
if (back) history.replaceState(null, "", back.content);

// What came since the page was made: said in a bar, never moved into the list by itself.
const news = document.getElementById("news");
if (news) {
  const link = news.querySelector("a");
  const digits = (many) => (document.documentElement.lang === "bn" ? many.toLocaleString("bn-BD") : String(many));
  const say = (many) => {
    link.textContent = many === 1 ? news.dataset.one : news.dataset.many.replace("{}", digits(many));
    news.hidden = many === 0;
  };
  // One line a page that is looked at: a browser has six for a site.
  let line = null;
  const listen = () => {
    if (document.hidden) {
      if (line) line.close();
      line = null;
    } else if (!line) {
      line = new EventSource(news.dataset.at);
      line.onmessage = (event) => say(JSON.parse(event.data).new);
    }
  };
  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => { if (line) line.close(); line = null; });
  listen();
}

// A part that another service serves; the link inside it is what stands there without this.
for (const part of document.querySelectorAll("[data-part]")) {
  fetch(part.dataset.part, { headers: { "x-part": "1" } })
    .then(async (answer) => {
      if (answer.ok && !answer.redirected) part.innerHTML = await answer.text();
    })
    .catch(() => {});
}

// A call is kept while it is typed.
const call = document.getElementById("call");
if (call) {
  let waiting = 0;
  let sending = Promise.resolve();
  const kept = document.getElementById("kept");
  const keep = async () => {
    const answer = await fetch(call.dataset.keep, { method: "POST", body: new URLSearchParams(new FormData(call)) }).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const told = await answer.json();
    call.elements.call_id.value = told.call_id;
    call.elements.revision.value = told.revision;
    kept.textContent = kept.dataset.text || "✓";
  };
  call.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { sending = sending.then(keep); }, 1500);
  });
  call.addEventListener("submit", () => clearTimeout(waiting));
}
