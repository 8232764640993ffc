// The list of instances: what is selected, saved views, and acts on many at once.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const count = (number) => number.toLocaleString("en");
  const instances = (number) => `${count(number)} ${number === 1 ? "instance" : "instances"}`;

  // --- selection ---
  const picked = () => $$('input[name="ids"]:checked').map((box) => box.value);
  const showPicked = () => {
    const boxes = $$('input[name="ids"]');
    const number = picked().length;
    const text = $("#picked");
    if (text) text.textContent = number ? `${count(number)} selected` : text.dataset.nothing;
    const all = $("#pick-all");
    if (all) {
      all.checked = boxes.length > 0 && number === boxes.length;
      all.indeterminate = number > 0 && number < boxes.length;
    }
  };

  // --- acts on many ---
  const ACTS = {
    retry: { verb: "Retry", done: "go on", doneOne: "goes on", detail: "Each goes on from the node that failed; what has completed keeps its result." },
    pause: { verb: "Pause", done: "are paused, or will be when what runs has ended", doneOne: "is paused, or will be when what runs has ended", detail: "Nothing new begins in them; what runs may end first." },
    unpause: { verb: "Unpause", done: "go on", doneOne: "goes on", detail: "They go on where they stand." },
    cancel: { verb: "Cancel", done: "are cancelled, or will be when what runs has ended", doneOne: "is cancelled, or will be when what runs has ended", detail: "They end for good; what runs may end first.", danger: true },
    signal: { verb: "Send a signal to", done: "have the signal", doneOne: "has the signal", detail: "It is kept until a wait takes it.", signal: true },
    migrate: { verb: "Migrate", done: "go on with the latest version", doneOne: "goes on with the latest version", detail: "They go on with the latest version of their workflow; what has no place there is refused, each by itself." },
  };
  let act = null; // { name, ids, query, total }
  let opener = null;
  const dialog = () => $("#control");
  const problem = (text) => {
    $("#control-problem").textContent = text;
    $("#control-problem").hidden = !text;
  };
  const describe = (text) => (text.startsWith("{") ? JSON.parse(text).detail : text) || "it did not work";
  const open = async (button) => {
    const name = button.dataset.control;
    const isGroup = !button.closest("#controls");
    const ids = isGroup ? [] : picked();
    const words = ACTS[name];
    act = { name, ids, query: button.dataset.query, total: ids.length };
    opener = button.id;
    const form = $("#control-form");
    form.reset();
    form.hidden = false;
    $("#control-progress").hidden = true;
    problem("");
    $("#control-title").textContent = ids.length ? `${words.verb} ${instances(ids.length)}?` : "Counting…";
    $("#control-detail").textContent = words.detail;
    $("#signal-fields").hidden = !words.signal;
    form.elements.signal.required = Boolean(words.signal);
    form.elements.signal.value = button.dataset.signal ?? "";
    $("#control-why").hidden = Boolean(words.signal);
    form.elements.reason.required = !words.signal;
    const yes = $("#control-yes");
    yes.classList.toggle("danger", Boolean(words.danger));
    yes.disabled = !ids.length;
    yes.textContent = ids.length ? `${words.verb} ${count(ids.length)}` : words.verb;
    dialog().showModal();
    (words.signal ? form.elements.signal : form.elements.reason).focus();
    if (ids.length) return;
    const asked = act;
    try {
      const response = await fetch(`/parts/control-count?name=${name}&${act.query}`, { headers: { accept: "application/json" } });
      if (!response.ok) throw new Error(describe(await response.text()));
      asked.total = (await response.json()).count;
    } catch (error) {
      if (asked === act) problem(error.message);
      return;
    }
    if (asked !== act) return; // it was closed, or opened for something else
    const isNone = act.total === 0;
    $("#control-title").textContent = isNone ? "Nothing matches" : `${words.verb} ${instances(act.total)}?`;
    if (isNone) $("#control-detail").textContent = `None of those that match can be treated so: “${words.verb.toLowerCase()}” fits another status.`;
    yes.textContent = `${words.verb} ${count(act.total)}`;
    yes.disabled = isNone;
  };

  const lines = async function* (response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      yield* parts.filter(Boolean).map((line) => JSON.parse(line));
    }
  };
  const run = async (form) => {
    const { name, ids, query, total } = act;
    const words = ACTS[name];
    const data = new FormData(form);
    data.set("name", name);
    data.set("query", query);
    for (const id of ids) data.append("ids", id);
    const response = await fetch("/instances-control", { method: "POST", body: new URLSearchParams(data), headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(describe(await response.text()));
    form.hidden = true;
    $("#control-progress").hidden = false;
    $("#control-failed").hidden = true;
    $("#control-doing").textContent = `${words.verb} ${instances(total)}`;
    $("#control-result").textContent = "They go on if you close this page.";
    const bar = $("#control-bar");
    bar.max = Math.max(total, 1);
    bar.value = 0;
    $("#control-doing").focus();
    let last = null;
    for await (const line of lines(response)) {
      bar.max = Math.max(line.total, 1);
      bar.value = line.answered;
      $("#control-doing").textContent = `${words.verb} ${instances(line.total)}: ${count(line.answered)} done`;
      if (line.is_end) last = line;
    }
    if (!last) throw new Error("the connection ended; what was begun goes on");
    if (last.problem) throw new Error(last.problem);
    bar.value = bar.max;
    const failed = last.failed ? `; ${count(last.failed)} refused` : "";
    $("#control-doing").textContent = "Done";
    $("#control-result").textContent = `${instances(last.done)} ${last.done === 1 ? words.doneOne : words.done}${failed}.`;
    sayiir.announce($("#control-result").textContent);
    const body = $("#control-errors");
    body.replaceChildren(...last.errors.map(({ instance_id, address, error }) => {
      const row = document.createElement("tr");
      const id = row.insertCell();
      id.className = "mono";
      const link = document.createElement("a");
      link.href = address;
      link.textContent = instance_id;
      id.append(link);
      row.insertCell().textContent = error;
      return row;
    }));
    $("#control-failed").hidden = !last.errors.length;
    $("#control-close").focus();
    for (const box of $$('input[name="ids"]:checked')) box.checked = false;
    showPicked();
  };
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    problem("");
    $("#control-yes").disabled = true;
    try {
      await run(form);
    } catch (error) {
      if (form.hidden) {
        $("#control-doing").textContent = "It did not work";
        $("#control-result").textContent = error.message;
      } else {
        problem(error.message);
      }
    } finally {
      $("#control-yes").disabled = false;
    }
  };

  // --- saved views ---
  const saved = () => {
    try {
      const links = JSON.parse(sayiir.kept("links") ?? "[]");
      return Array.isArray(links) ? links.filter((one) => typeof one.name === "string" && /^\/(\?|$)/.test(one.address)) : [];
    } catch { return []; }
  };
  const keepLinks = (links) => { sayiir.keep("links", JSON.stringify(links)); showSaved(); };
  const showSaved = () => {
    const links = saved();
    const nav = $("#saved-links");
    nav.hidden = !links.length;
    nav.replaceChildren(...links.map((link, at) => {
      const item = document.createElement("span");
      item.className = "saved-link";
      const anchor = document.createElement("a");
      anchor.href = link.address;
      anchor.textContent = link.name;
      const remove = document.createElement("button");
      remove.type = "button";
      remove.className = "quiet";
      remove.textContent = "✕";
      remove.setAttribute("aria-label", `Forget the view ${link.name}`);
      remove.addEventListener("click", () => {
        keepLinks(saved().filter((_, other) => other !== at));
        sayiir.announce(`Forgot ${link.name}`);
      });
      item.append(anchor, remove);
      return item;
    }));
  };

  document.addEventListener("DOMContentLoaded", () => {
    showSaved();
    showPicked();
    document.addEventListener("change", (event) => {
      if (event.target.id === "pick-all") {
        for (const box of $$('input[name="ids"]')) box.checked = event.target.checked;
      }
      if (event.target.matches?.('#pick-all, input[name="ids"]')) showPicked();
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest?.("[data-control]");
      if (button) open(button);
      if (event.target.closest?.("[data-close]")) event.target.closest("dialog").close();
    });
    $("#control-form").addEventListener("submit", submit);
    dialog().addEventListener("close", () => {
      act = null;
      if (opener) document.getElementById(opener)?.focus();
    });
    document.addEventListener("htmx:after:swap", showPicked);
    $("#save-link").addEventListener("click", () => {
      $("#link-name").value = "";
      $("#name-link").showModal();
      $("#link-name").focus();
    });
    $("#name-link form").addEventListener("submit", () => {
      const name = $("#link-name").value.trim();
      if (!name) return;
      const address = `/${location.search}`;
      keepLinks([...saved().filter((one) => one.name !== name), { name, address }]);
      sayiir.announce(`Saved ${name}`);
    });
  });
})();
