// The page of one instance: what its attributes cannot say alone.
"use strict";
(() => {
  const isTyped = (element) =>
    [...element.querySelectorAll("textarea, input:not([type=hidden])")].some(
      (field) => field === document.activeElement || field.value !== field.defaultValue,
    );

  // What somebody types is not replaced by an event that comes meanwhile.
  document.addEventListener("live", (event) => {
    const element = event.target;
    if (element.matches?.("[data-keep-typed]") && isTyped(element)) event.stopImmediatePropagation();
  }, true);

  // What was opened stays open when the slider moves, or an event comes.
  const opened = new Set();
  const titleOf = (details) => details.querySelector("summary")?.textContent;
  document.addEventListener("toggle", (event) => {
    const details = event.target;
    if (!details.matches("#state details") || !details.isConnected) return;
    if (details.open) opened.add(titleOf(details));
    else opened.delete(titleOf(details));
  }, true);
  const reopen = () => {
    for (const details of document.querySelectorAll("#state details")) {
      if (opened.has(titleOf(details))) details.open = true;
    }
  };

  const show = async (address, target) => {
    const response = await fetch(address, { headers: { "HX-Request": "true", Accept: "text/html" } });
    target.innerHTML = await response.text();
    reopen();
    globalThis.htmx?.process(target);
    globalThis.sayiir?.showTimes(target);
  };
  const part = (link, name) => {
    const address = new URL(link.getAttribute("href"), location.href);
    history.replaceState(null, "", address);
    address.searchParams.set("part", name);
    return address;
  };

  document.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest?.("a[data-node], a[data-state]");
    if (!link) return;
    event.preventDefault();
    if (link.hasAttribute("data-node")) {
      const panel = document.getElementById("node");
      await show(part(link, "node"), panel);
      panel.focus({ preventScroll: true });
      panel.scrollIntoView({ block: "nearest" });
      globalThis.sayiir?.announce(panel.querySelector("h2")?.textContent.trim() ?? "");
    } else {
      const rel = link.rel;
      const address = part(link, "state");
      document.getElementById("at").value = address.searchParams.get("at");
      const state = document.getElementById("state");
      await show(address, state);
      (state.querySelector(`a[rel=${rel}]`) ?? state.querySelector("a"))?.focus();
    }
  });

  // A history that grows: the slider reaches its new end.
  document.addEventListener("htmx:after:swap", () => {
    const slider = document.getElementById("at");
    const last = document.getElementById("tab")?.dataset.last;
    if (slider && last) slider.max = last;
    reopen();
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelector("[popover][data-open]")?.showPopover();
    if (document.getElementById("reading")) setTimeout(() => location.reload(), 1000);
  });
})();
