// The pages work without this script. It copies commands, follows a running
// console, and replaces the parts marked data-live by fresh ones.
"use strict";

// The console keeps this many characters; the whole log has a page of its own.
const CONSOLE_KEEP = 400000;

function copyButtons(root) {
  for (const b of root.querySelectorAll("button[data-copy]")) {
    b.hidden = false;
    b.addEventListener("click", async () => {
      const source = document.getElementById(b.dataset.copy);
      let done = true;
      try {
        await navigator.clipboard.writeText(source.textContent);
      } catch {
        // Without a secure context there is no clipboard: select, and copy the old way.
        getSelection().selectAllChildren(source);
        done = document.execCommand("copy");
      }
      b.textContent = done ? "copied" : "selected";
      setTimeout(() => { b.textContent = "copy"; }, 1600);
    });
  }
}

// refresh fetches this page again and swaps what changed. Keyboard focus inside
// a swapped part moves to the link of the same address.
async function refresh() {
  const address = new URL(location.href);
  address.searchParams.set("live", "1"); // without the console's text
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) return true;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (!next || next.outerHTML === old.outerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const node = document.importNode(next, true);
    old.replaceWith(node);
    if (focused) [...node.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
  }
  return fresh.querySelector("main").dataset.refresh;
}

function keepFresh() {
  const seconds = Number(document.querySelector("main").dataset.refresh);
  if (!seconds) return;
  let again = true;
  const tick = async () => {
    if (!document.hidden) again = await refresh().catch(() => true);
    if (again) setTimeout(tick, seconds * 1000);
  };
  setTimeout(tick, seconds * 1000);
}

function followConsole() {
  const pre = document.querySelector("pre[data-stream]");
  if (!pre) return;
  const state = document.getElementById("console-state");
  pre.scrollTop = pre.scrollHeight;
  const events = new EventSource(pre.dataset.stream);
  let length = pre.textContent.length;
  events.addEventListener("open", () => { state.textContent = "live"; });
  // The first event of a fresh stream replaces what the page came with.
  events.addEventListener("reset", () => { pre.textContent = ""; length = 0; });
  events.addEventListener("message", (e) => {
    const text = JSON.parse(e.data);
    const atEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 24;
    pre.append(document.createTextNode(text));
    length += text.length;
    while (length > CONSOLE_KEEP && pre.childNodes.length > 1) {
      length -= pre.firstChild.data.length;
      pre.firstChild.remove();
    }
    if (atEnd) pre.scrollTop = pre.scrollHeight;
  });
  events.addEventListener("end", () => {
    events.close();
    state.textContent = "ended";
    refresh().catch(() => {});
  });
  events.addEventListener("error", () => {
    state.textContent = events.readyState === EventSource.CLOSED ? "not connected" : "reconnecting";
  });
}

copyButtons(document);
keepFresh();
followConsole();
