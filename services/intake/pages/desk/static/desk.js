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

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "t") document.activeElement.closest("li")?.querySelector(".take button")?.click();
  else if (event.key === "/" && document.querySelector('a[href="/desk/search"]')) {
    event.preventDefault();
    location.assign("/desk/search");
  }
});

// What came since the page was made: said in a bar, never moved into the list by itself.
const news = document.getElementById("news");
if (news) {
  const link = news.querySelector("a");
  const digits = (many) => (document.documentElement.lang === "bn" ? many.toLocaleString("bn-BD") : String(many));
  const look = async () => {
    if (document.hidden) return;
    const answer = await fetch(news.dataset.at, { headers: { accept: "application/json" } }).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const { new: many } = await answer.json();
    link.textContent = many === 1 ? news.dataset.one : news.dataset.many.replace("{}", digits(many));
    news.hidden = many === 0;
  };
  setInterval(look, Number(news.dataset.every || 15) * 1000);
  document.addEventListener("visibilitychange", look);
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
