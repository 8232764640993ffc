// Runs before the first paint, so that a dark page does not flash white.
(() => {
  try {
    const theme = localStorage.getItem("sayiir.theme");
    if (theme === "light" || theme === "dark") {
      document.documentElement.dataset.theme = theme;
    }
  } catch {
    // A browser that keeps nothing: the system's colours.
  }
})();
