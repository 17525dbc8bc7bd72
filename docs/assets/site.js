// What scrolls must be reachable by keyboard, and a dialog needs a name.
window.addEventListener("load", () => setTimeout(() => {
  const scrolling = ".md-typeset__scrollwrap, .highlight-ipynb, .jp-OutputArea-output";
  document.querySelectorAll(scrolling).forEach((box) => box.setAttribute("tabindex", "0"));
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
}));

// Pictures that were taken in both schemes are shown in the page's.
const inScheme = () => {
  const isDark = document.body.getAttribute("data-md-color-scheme") === "slate";
  document.querySelectorAll('img[src$="_light.png"], img[data-light]').forEach((picture) => {
    picture.dataset.light ??= picture.getAttribute("src");
    const shown = picture.dataset.light;
    picture.setAttribute("src", isDark ? shown.replace("_light.png", "_dark.png") : shown);
  });
};
new MutationObserver(inScheme).observe(document.body, {attributeFilter: ["data-md-color-scheme"]});
inScheme();
