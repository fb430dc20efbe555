// Public pages: leave at once (the link, or Shift three times), and one line of history for all of it:
// links and forms replace the page they stand on. Without a script each of them works as well.
(() => {
  "use strict";
  const leave = () => {
    document.documentElement.hidden = true;
    document.title = "";
    location.replace(document.getElementById("leave").href);
  };

  let presses = 0, alone = false, timer = 0;
  document.addEventListener("keydown", (event) => {
    alone = event.key === "Shift";
    if (!alone) presses = 0;
  });
  document.addEventListener("keyup", (event) => {
    if (event.key !== "Shift" || !alone) return;
    clearTimeout(timer);
    timer = setTimeout(() => { presses = 0; }, 5000);
    if (++presses === 3) leave();
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const place = link.getAttribute("href");
    if (link.origin !== location.origin || place.startsWith("#")) return;
    event.preventDefault();
    if (link.id === "leave" || link.pathname === "/x") leave();
    else location.replace(link.href);
  });

  // While many others wait, the last form names work that brings it forward; a worker does it
  // meanwhile, and sending waits a few seconds for it at most.
  let worker = null, done = Promise.resolve();
  const work = () => {
    if (worker) worker.terminate();
    worker = null;
    done = Promise.resolve();
    const form = document.querySelector("form[data-work]");
    if (!form || !self.Worker) return;
    worker = new Worker(form.dataset.worker);
    done = new Promise((found) => {
      worker.onmessage = (told) => {
        form.elements.work.value = told.data;
        found();
      };
      worker.onerror = found;
    });
    worker.postMessage([form.dataset.work, Number(form.dataset.bits)]);
  };
  work();

  let busy = false;
  const say = (form) => {
    let told = document.getElementById("away");
    if (!told) {
      told = document.createElement("p");
      told.id = "away";
      told.className = "notice care";
      told.setAttribute("role", "status");
    }
    told.textContent = document.body.dataset.away;
    form.prepend(told);
    told.scrollIntoView();
  };
  document.addEventListener("submit", async (event) => {
    const form = event.target, button = event.submitter;
    event.preventDefault();
    if (busy) return;
    busy = true;
    if (button && button.value === "send") {
      await Promise.race([done, new Promise((late) => setTimeout(late, 4000))]);
    }
    const filled = new FormData(form);
    if (button && button.name) filled.append(button.name, button.value);
    const body = form.enctype === "multipart/form-data" ? filled : new URLSearchParams(filled);
    try {
      const answer = await fetch(form.action, { method: "POST", body, cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.documentElement.lang = page.documentElement.lang;
      document.body.replaceWith(page.body);
      work();
      document.getElementById("main").focus({ preventScroll: true });
      scrollTo(0, 0);
    } catch (away) {
      say(form); // Nothing that was typed is lost: the page stays as it is.
    } finally {
      busy = false;
    }
  });
})();
