// Public pages: leave at once (the link, or Shift three times), and keep one line of history.
(() => {
  "use strict";
  const link = document.getElementById("leave");
  if (!link) return;
  const leave = () => {
    document.documentElement.hidden = true;
    document.title = "";
    location.replace(link.href);
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
    const found = event.target.closest("a[href]");
    if (!found || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
    if (found === link) { event.preventDefault(); leave(); return; }
    if (found.origin !== location.origin || found.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    location.replace(found.href);
  });
})();
