// What HTML cannot do by itself; the attributes are listed at the top of layout.html.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  const keep = (name, value) => {
    try { localStorage.setItem(`sayiir.${name}`, value); } catch { /* it keeps nothing */ }
  };
  const kept = (name) => {
    try { return localStorage.getItem(`sayiir.${name}`); } catch { return null; }
  };

  const announce = (text) => { $("#announcer").textContent = text; };

  // --- times ---
  const pad = (number, width = 2) => String(number).padStart(width, "0");
  const localText = (date) =>
    `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ` +
    `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const utcText = (date) => date.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
  const ageText = (date) => {
    const s = (Date.now() - date.getTime()) / 1000;
    const size = Math.abs(s);
    const text =
      size < 60 ? `${Math.floor(size)} s` :
      size < 3600 ? `${Math.floor(size / 60)} min` :
      size < 172800 ? `${Math.floor(size / 3600)} h` : `${Math.floor(size / 86400)} d`;
    return s < -1 ? `in ${text}` : text;
  };
  const isUtc = () => kept("times") === "utc";
  const showTimes = (root = document) => {
    for (const element of $$("time[datetime]", root)) {
      const date = new Date(element.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      const whole = isUtc() ? utcText(date) : localText(date);
      const text = element.hasAttribute("data-age") ? ageText(date) : whole;
      if (element.textContent !== text) element.textContent = text;
      if (element.title !== whole) element.title = whole;
    }
  };
  const nameTimes = () => { $("#times").textContent = isUtc() ? "UTC" : "Local time"; };

  // --- colours ---
  const THEMES = ["system", "light", "dark"];
  const theme = () => (THEMES.includes(kept("theme")) ? kept("theme") : "system");
  const showTheme = () => {
    const name = theme();
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("#theme").textContent = { system: "System", light: "Light", dark: "Dark" }[name];
    $("#theme").setAttribute("aria-label", `Colours: ${name}`);
  };

  // --- a dialog before what cannot be taken back ---
  let asked = null; // { form, submitter }
  const openConfirm = (form, submitter) => {
    const words = { ...form.dataset, ...(submitter ? submitter.dataset : {}) };
    asked = { form, submitter };
    $("#confirm-title").textContent = words.confirm;
    $("#confirm-detail").textContent = words.detail || "";
    $("#confirm-detail").hidden = !words.detail;
    $("#confirm-reason").hidden = !words.reason;
    $("#confirm-reason-hint").textContent =
      words.reason === "required" ? "(goes into the history)" : "(optional, goes into the history)";
    const text = $("#confirm-reason-text");
    text.required = words.reason === "required";
    text.value = "";
    const yes = $("#confirm-yes");
    yes.textContent = words.act || "Do it";
    yes.classList.toggle("danger", "danger" in words);
    $("#confirm").showModal();
    (words.reason ? text : yes).focus();
  };
  const wireConfirm = () => {
    const dialog = $("#confirm");
    document.addEventListener("submit", (event) => {
      const form = event.target;
      const words = event.submitter?.dataset.confirm ?? form.dataset.confirm;
      if (words === undefined || form.dataset.confirmed) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      openConfirm(form, event.submitter);
    }, true);
    $("#confirm-no").addEventListener("click", () => dialog.close("no"));
    dialog.addEventListener("close", () => {
      const { form, submitter } = asked ?? {};
      asked = null;
      if (dialog.returnValue !== "yes" || !form) {
        submitter?.focus();
        return;
      }
      dialog.returnValue = "";
      let reason = $("input[name=reason][type=hidden]", form);
      if (!reason) {
        reason = document.createElement("input");
        reason.type = "hidden";
        reason.name = "reason";
        form.append(reason);
      }
      reason.value = $("#confirm-reason-text").value;
      form.dataset.confirmed = "yes";
      form.requestSubmit(submitter && submitter.form === form ? submitter : undefined);
      delete form.dataset.confirmed;
    });
    $("form", dialog).addEventListener("submit", () => { dialog.returnValue = "yes"; });
    $("#confirm-yes").value = "yes";
  };

  // --- events of the log ---
  // A browser has six connections to a server: a page that nobody sees keeps none.
  const LIVE_EVERY_MS = 500;
  const sources = new Map(); // by address: { source, place }
  const tellLive = (address, message) => {
    for (const element of $$("[data-live]")) {
      if (address === null || element.dataset.live === address) {
        element.dispatchEvent(new CustomEvent("live", { detail: message }));
      }
    }
  };
  const follow = (address, place) => {
    const join = address.includes("?") ? "&" : "?";
    const source = new EventSource(place ? `${address}${join}after=${encodeURIComponent(place)}` : address);
    const entry = { source, place };
    sources.set(address, entry);
    let timer = null;
    let events = [];
    let all = false;
    const note = (event) => { entry.place = event.lastEventId || entry.place; };
    source.addEventListener("ready", note);
    source.addEventListener("changed", (event) => {
      note(event);
      const data = JSON.parse(event.data);
      events.push(...data.events);
      all ||= data.all;
      timer ??= setTimeout(() => {
        const message = { events, all };
        [timer, events, all] = [null, [], false];
        tellLive(address, message);
      }, LIVE_EVERY_MS);
    });
    source.addEventListener("open", () => { document.documentElement.dataset.connection = "live"; });
    source.addEventListener("error", () => { document.documentElement.dataset.connection = "lost"; });
  };
  const places = new Map(); // of addresses that are not followed now
  const wireLive = () => {
    const wanted = new Set(document.hidden ? [] : $$("[data-live]").map((one) => one.dataset.live));
    for (const [address, { source, place }] of sources) {
      if (wanted.has(address)) continue;
      source.close();
      sources.delete(address);
      if (place) places.set(address, place);
    }
    for (const address of wanted) {
      if (!sources.has(address)) follow(address, places.get(address));
    }
  };

  // --- keyboard ---
  const rows = () => $$("table[data-rows] > tbody > tr");
  const moveRow = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.classList.contains("current") || row.contains(document.activeElement));
    const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step))];
    for (const row of all) row.classList.remove("current");
    next.classList.add("current");
    ($("a[href]", next) ?? $("button, input", next))?.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const currentRow = () => rows().find((row) => row.classList.contains("current") || row.contains(document.activeElement));
  const isTyping = (target) =>
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input:not([type=checkbox], [type=radio], [type=range]), textarea, select"));
  let goes = false; // g was pressed
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || $("dialog[open]")) return;
    const key = event.key;
    if (goes) {
      goes = false;
      const link = $$("a[data-go]").find((one) => one.dataset.go === key);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const search = $("[data-search]");
    if (key === "g") goes = true;
    else if (key === "?") { event.preventDefault(); showShortcuts(); }
    else if (key === "/" && search) { event.preventDefault(); search.closest("details")?.setAttribute("open", ""); search.focus(); search.select?.(); }
    else if (key === "j" || key === "k") { event.preventDefault(); moveRow(key === "j" ? 1 : -1); }
    else if (key === "x") { $("input[type=checkbox]", currentRow() ?? document.createElement("p"))?.click(); }
    else if (key === "Enter" && event.target === document.body) { $("a[href]", currentRow() ?? document.createElement("p"))?.click(); }
    else {
      const wanted = $$("[data-shortcut]").find((one) => one.dataset.shortcut === key && !one.disabled);
      if (wanted) { event.preventDefault(); wanted.click(); }
    }
  };
  const showShortcuts = () => {
    const list = $("#page-shortcuts");
    list.replaceChildren();
    for (const one of $$("[data-shortcut]")) {
      const name = document.createElement("dt");
      const key = document.createElement("kbd");
      key.textContent = one.dataset.shortcut;
      name.append(key);
      const does = document.createElement("dd");
      does.textContent = one.title || one.textContent.trim();
      list.append(name, does);
    }
    list.hidden = !list.childElementCount;
    $("#shortcuts").showModal();
  };

  // --- clicks ---
  const onClick = async (event) => {
    const button = event.target.closest?.("[data-copy], [data-dismiss]");
    if (!button) return;
    if (button.hasAttribute("data-dismiss")) { button.parentElement.remove(); return; }
    const text = document.getElementById(button.dataset.copy)?.textContent ?? "";
    try {
      await navigator.clipboard.writeText(text);
      announce("Copied");
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
      announce("Press Control and C to copy what is selected");
    }
  };

  // --- JSON that is typed ---
  const checkJson = (field) => {
    let wrong = "";
    const text = field.value.trim();
    if (text) {
      try { JSON.parse(text); } catch (error) { wrong = `Expected JSON, but ${error.message}`; }
    }
    field.setCustomValidity(wrong);
    if (wrong) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  };

  document.addEventListener("DOMContentLoaded", () => {
    for (const field of $$("textarea[data-json]")) {
      if (!field.hasAttribute("aria-invalid")) checkJson(field);
      field.addEventListener("input", () => checkJson(field));
    }
    showTheme();
    nameTimes();
    showTimes();
    wireConfirm();
    wireLive();
    $("#times").addEventListener("click", () => {
      keep("times", isUtc() ? "local" : "utc");
      nameTimes();
      showTimes();
      announce(isUtc() ? "Times are UTC" : "Times are local");
    });
    $("#theme").addEventListener("click", () => {
      keep("theme", THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
      showTheme();
      announce(`Colours: ${theme()}`);
    });
    $("#show-shortcuts").addEventListener("click", showShortcuts);
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    document.addEventListener("visibilitychange", wireLive);
    document.addEventListener("htmx:after:swap", () => { showTimes(); wireLive(); });
  // On a narrow screen the names of the pages scroll: the one that is open is in sight.
  const here = $("header .pages [aria-current]");
  if (here) {
    const names = here.closest("ul");
    const left = here.getBoundingClientRect().left - names.getBoundingClientRect().left;
    names.scrollLeft += left - (names.clientWidth - here.offsetWidth) / 2;
  }
    document.documentElement.dataset.ready = "yes"; // robots wait for it
    setInterval(() => { if (!document.hidden) showTimes(); }, 1000);
  });
  window.sayiir = { announce, keep, kept, showTimes };
})();
