// What scrolls must be reachable by keyboard, and a dialog needs a name.
window.addEventListener("load", () => setTimeout(() => {
  const scrolling = ".md-typeset__scrollwrap, .highlight-ipynb, .jp-OutputArea-output";
  document.querySelectorAll(scrolling).forEach((box) => box.setAttribute("tabindex", "0"));
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
}));
