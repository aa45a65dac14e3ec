// Compares each place that a script has taken over with what the template paints there now. Left out is what only one of
// the two can have: what is marked `scripted`, links of buttons, sorting, figures in motion.
async () => {
  const LEFT_OUT = new Set(["aria-sort", "aria-rowindex", "aria-rowcount", "d", "formaction"]);
  const MOVING = /\b[\d.]+(?= (?:%|ms|s|min)(?: |$))/g;
  const answer = await fetch(location.href, {headers: {accept: "text/html"}});
  const painted = new DOMParser().parseFromString(await answer.text(), "text/html");
  const {takenOver} = await import(new URL("painting/painted.js", document.querySelector("script[type=module][src]").src).href);
  return [...document.querySelectorAll("[id]")].filter((place) => takenOver.has(place)).map((place) => {
    const first = painted.getElementById(place.id);
    // Of a long table the script makes only the rows that are in view.
    if (place.querySelector("tr.left-out")) for (const row of [...first.querySelectorAll("tbody tr")].slice(place.querySelectorAll("tbody tr:not(.left-out)").length)) row.remove();
    return [place.id, shape(place), shape(first)];
  });

  function shape(place) {
    if (!place) return null;
    const lines = [];
    describe(place, 0, lines);
    return lines;
  }

  function describe(element, depth, lines) {
    lines.push(" ".repeat(depth) + opening(element));
    children(element, depth + 1, lines);
  }

  function children(element, depth, lines) {
    let text = "";
    const flush = () => {
      const words = text.replace(/\s+/g, " ").trim().replace(MOVING, "#");
      if (words) lines.push(" ".repeat(depth) + words);
      text = "";
    };
    for (const node of element.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) text += node.data;
      if (node.nodeType !== Node.ELEMENT_NODE || leftOut(node)) continue;
      if (element.localName === "th" && node.localName === "button") {
        for (const {nodeType, data} of node.childNodes) if (nodeType === Node.TEXT_NODE) text += data;
        continue;
      }
      flush();
      describe(node, depth, lines);
    }
    flush();
  }

  function leftOut(node) {
    if (node.matches("noscript, .scripted, .left-out, input[type=hidden]")) return true;
    // The app's own tasks come and go with each request.
    return node.matches("#task-sheet tbody tr") && !node.querySelector("td:nth-child(2) a");
  }

  function opening(element) {
    const button = element.matches("a.button:not([data-terminal])");
    const attributes = [...element.attributes]
      .filter(({name}) => !LEFT_OUT.has(name) && !(button && name === "href"))
      .filter(({name}) => !(element.localName === "meter" && name === "value") && !(element.localName === "rect" && name === "width"))
      .filter(({name}) => !(element.localName === "table" && name === "aria-label"))
      .map(({name, value}) => [name, written(element, name, value)])
      .filter(([name, value]) => !(name === "class" && value === ""))
      .map(([name, value]) => (value ? `${name}=${value}` : name))
      .sort();
    return `<${[button ? "button" : element.localName, ...attributes].join(" ")}>`;
  }

  function written(element, name, value) {
    if (name === "datetime") return new Date(value).toISOString();
    if (name === "stroke-dasharray") return value.replace(/^\d+/, "#"); // how much is left of a lease
    if (name !== "class") return value;
    const classes = value.split(/\s+/).filter((one) => one && !/^s\d$/.test(one) && one !== "button");
    return classes.sort().join(" ");
  }
}
