/* Keeps a page up to date: fetches it again and puts its regions in place.

   The server renders, this only replaces what has changed, so that nothing is
   said in two places. <main data-live="SECONDS"> says how often; a page
   without it stays as it is. Without script, reloading does the same. */
"use strict";

(function () {
  const main = document.querySelector("main[data-live]");
  if (!main) return;

  const note = document.getElementById("live-note");
  /* Fetched pages come without it: what a script can fetch, a notebook that
     shares our origin could fetch, too. */
  const xsrf = document.body.dataset.xsrf || "";
  let seconds = Number(main.dataset.live);
  let failures = 0;
  let timer = 0;

  function tell(text) {
    note.textContent = text;
    note.hidden = !text;
  }

  function atEnd(element) {
    return element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  }

  function followTail(root, always) {
    for (const pre of root.querySelectorAll("[data-tail]")) {
      if (always) pre.scrollTop = pre.scrollHeight;
    }
  }

  function replace(fresh) {
    for (const region of document.querySelectorAll("[data-region]")) {
      const next = fresh.querySelector('[data-region="' + region.dataset.region + '"]');
      if (!next) continue;
      for (const field of next.querySelectorAll('input[name="_xsrf"]')) {
        field.setAttribute("value", xsrf);
      }
      /* A key is new on every page: by itself it is no change. */
      const bare = (element) => element.innerHTML.replace(/name="key" value="[^"]*"/g, "");
      const renewed = region.dataset.stale === "yes";
      if (!renewed && bare(region) === bare(next)) continue;
      if (region.contains(document.activeElement) && document.activeElement.matches("button, select")) {
        continue; /* Not under the finger that is about to press it. */
      }
      const tail = region.querySelector("[data-tail]");
      const follow = !tail || atEnd(tail);
      const top = tail ? tail.scrollTop : 0;
      region.replaceChildren(...document.importNode(next, true).childNodes);
      delete region.dataset.stale;
      const newTail = region.querySelector("[data-tail]");
      if (newTail) newTail.scrollTop = follow ? newTail.scrollHeight : top;
    }
    document.title = fresh.title;
    const live = fresh.querySelector("main[data-live]");
    seconds = live ? Number(live.dataset.live) : 0;
  }

  async function look() {
    clearTimeout(timer);
    if (document.hidden) return; /* visibilitychange looks again. */
    try {
      const answer = await fetch(location.href, {
        headers: { Accept: "text/html" },
        credentials: "same-origin",
        cache: "no-store",
        signal: AbortSignal.timeout(15000),
      });
      if (answer.status === 401) {
        tell("You are signed out. Reload the page to sign in again.");
        return;
      }
      if (answer.status === 403) {
        tell("This page is no longer open to you. Reload it to see why.");
        return;
      }
      if (answer.status === 404) {
        tell("This is no longer here. Reload the page.");
        return;
      }
      if (!answer.ok) throw new Error("HTTP " + answer.status);
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      failures = 0;
      tell("");
    } catch (error) {
      failures += 1;
      if (failures > 1) tell("Almanac cannot be reached just now. Trying again…");
    }
    if (seconds) timer = setTimeout(look, 1000 * Math.min(seconds * (1 + failures), 60));
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && seconds) look();
  });
  window.addEventListener("pageshow", (event) => {
    /* Back from a form: the page may show its old state, and its key is used up. */
    if (!event.persisted) return;
    for (const region of document.querySelectorAll("[data-region]")) region.dataset.stale = "yes";
    look();
  });

  followTail(document, true);
  timer = setTimeout(look, 1000 * seconds);
})();
