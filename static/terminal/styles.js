// xterm.js writes <style> elements and style attributes, which the content security policy forbids (style-src 'self').
// The policy is against what comes in as markup; what a script says to the CSSOM it allows. So
//   - a style element becomes a constructed stylesheet, with an empty <template> in its place. xterm.js makes them only
//     while it opens: its renderer, and its viewport, which takes them from `window.document` whatever it is told;
//   - a span's style attribute, for colours beyond the palette and for contrast, becomes its `style.cssText`. Spans are
//     made as long as a terminal lives, and cloned, with the global document too: hence in the prototype.

/** `terminal.open(place)` without style elements. */
export function openWithoutStyleElements(terminal, place) {
  document.createElement = (name, options) =>
    name === "style" ? standIn() : Document.prototype.createElement.call(document, name, options);
  try {
    terminal.open(place);
  } finally {
    delete document.createElement;
  }
}

HTMLSpanElement.prototype.setAttribute = function (name, value) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
};

function standIn() {
  const sheet = new CSSStyleSheet();
  const element = Document.prototype.createElement.call(document, "template");
  Object.defineProperty(element, "textContent", {set: (text) => sheet.replaceSync(text)});
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  document.adoptedStyleSheets.push(sheet);
  return element;
}
