// The console's script: refreshes pages in place, copies commands, and has the keys.
// Pages work without it.
"use strict";
(() => {
  const stale = document.getElementById("stale");
  const shown = new WeakMap(); // of a region: its HTML as the server made it
  let busy = false;

  // refresh fetches the page anew and replaces the regions that have changed.
  async function refresh() {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Sluice-Refresh": "1" }, credentials: "same-origin" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = document.getElementById("main");
      if (regions(document) !== regions(fresh)) { // the page has other parts now
        main.replaceChildren(...fresh.getElementById("main").childNodes);
      } else for (const old of main.querySelectorAll("[data-live]")) {
        const now = fresh.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
        if (!now || shown.get(old) === now.innerHTML) continue;
        shown.set(old, now.innerHTML);
        const focus = old.contains(document.activeElement) ? index(old, document.activeElement) : -1;
        old.replaceChildren(...now.childNodes);
        if (focus >= 0) focusable(old)[focus]?.focus({ preventScroll: true });
      }
      document.body.dataset.refresh = fresh.body.dataset.refresh;
      ready();
      stale.textContent = "";
    } catch (e) {
      stale.textContent = "The console does not answer: this page is old.";
    } finally {
      busy = false;
    }
  }

  const regions = (d) => [...d.querySelectorAll("[data-live]")].map((e) => e.dataset.live).join();
  const focusable = (e) => [...e.querySelectorAll("a, button, input, select, textarea, [tabindex]")];
  const index = (e, active) => focusable(e).indexOf(active);

  // ready shows what needs a script.
  function ready() {
    for (const b of document.querySelectorAll("button.copy")) b.hidden = !navigator.clipboard;
  }

  let timer = 0;
  function schedule() {
    clearTimeout(timer);
    const pause = Number(document.body.dataset.refresh);
    if (pause > 0) timer = setTimeout(async () => {
      if (!document.hidden) await refresh();
      schedule();
    }, pause);
  }
  document.addEventListener("visibilitychange", async () => {
    if (document.hidden || document.body.dataset.refresh === "0") return;
    await refresh();
    schedule();
  });

  document.addEventListener("click", async (e) => {
    const b = e.target.closest("button.copy");
    if (!b) return;
    await navigator.clipboard.writeText(b.dataset.copy);
    b.textContent = "Copied";
    setTimeout(() => { b.textContent = "Copy"; }, 1500);
  });

  // Keys act only outside of fields, and can be switched off.
  const keys = document.getElementById("keys");
  const on = document.getElementById("keys-on");
  on.checked = localStorage.getItem("keys") !== "off";
  on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));
  let before = "";
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
    if (e.key === "?") return keys.open ? keys.close() : keys.showModal();
    if (!on.checked || keys.open) return;
    const first = before;
    before = e.key;
    if (first === "g") {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(e.key)}"]`);
      if (link) link.click();
      return;
    }
    if (e.key === "r") return void refresh();
    if (e.key === "j" || e.key === "k") {
      const rows = [...document.querySelectorAll("[data-row]")];
      const at = rows.indexOf(document.activeElement);
      const to = at < 0 ? 0 : at + (e.key === "j" ? 1 : -1);
      rows[Math.min(Math.max(to, 0), rows.length - 1)]?.focus();
    }
    if (e.key === "/") {
      const field = document.querySelector("[data-filter]");
      if (field) { e.preventDefault(); field.focus(); }
    }
  });

  ready();
  schedule();
})();
