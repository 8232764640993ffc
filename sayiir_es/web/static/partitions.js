// Draws how many commands each partition was behind, while the page is open.
"use strict";
(() => {
  const KEPT = 150; // points: five minutes
  const histories = new Map();
  const root = document.getElementById("partitions");
  if (!root || typeof uPlot === "undefined") return;

  const note = () => {
    const now = Date.now() / 1000;
    for (const row of root.querySelectorAll("tr[data-partition]")) {
      const history = histories.get(row.dataset.partition) ?? [];
      const behind = row.dataset.behind;
      history.push([now, behind === undefined ? null : Number(behind)]);
      histories.set(row.dataset.partition, history.slice(-KEPT));
    }
  };
  const draw = () => {
    const colour = getComputedStyle(root).color;
    for (const row of root.querySelectorAll("tr[data-partition]")) {
      const place = row.querySelector(".spark");
      const history = histories.get(row.dataset.partition) ?? [];
      if (!place || history.length < 2) continue;
      const most = Math.max(1, ...history.map((point) => point[1] ?? 0));
      place.replaceChildren();
      new uPlot({
        width: 120, height: 28, legend: { show: false }, cursor: { show: false },
        axes: [{ show: false }, { show: false }],
        scales: { x: { time: false }, y: { range: [-0.1 * most, 1.1 * most] } },
        series: [{}, { stroke: colour, width: 1.5, points: { show: false } }],
      }, [history.map((point) => point[0]), history.map((point) => point[1])], place);
    }
  };
  // The table is fetched anew every two seconds; what was drawn goes with the old one.
  note();
  setInterval(note, 2000);
  document.addEventListener("htmx:after:swap", draw);
})();
