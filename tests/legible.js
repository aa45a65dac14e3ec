// What cannot be read in the pictures of calls that the page shows: an array of sentences. An expression, for any browser.
(() => {
  const wrong = [];
  const apart = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) <= 0.5 || Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) <= 0.5;
  for (const picture of document.querySelectorAll("svg.calls-picture")) {
    const frame = picture.getBoundingClientRect();
    const texts = [...picture.querySelectorAll("text")].map((text) => {
      const {left, right, top, bottom} = text.getBoundingClientRect();
      return {text, words: text.firstChild.data, left, right, top, bottom};
    });
    texts.sort((a, b) => a.top - b.top);
    for (const [index, one] of texts.entries()) {
      if (one.left < frame.left - 0.5 || one.right > frame.right + 0.5 || one.top < frame.top - 0.5 || one.bottom > frame.bottom + 0.5) wrong.push(`${one.words} is cut off`);
      if (one.words.endsWith("…") && !(one.text.dataset.whole && one.text.querySelector("title"))) wrong.push(`${one.words} is nowhere whole`);
      for (let other = index + 1; other < texts.length && texts[other].top < one.bottom; other += 1) {
        if (!apart(one, texts[other])) wrong.push(`${one.words} lies on ${texts[other].words}`);
      }
    }
    const lines = [...picture.querySelectorAll("line")].map((line) => line.getBoundingClientRect());
    for (const path of picture.querySelectorAll("path[d*=H]")) {
      for (const [, x1, y, x2] of path.getAttribute("d").matchAll(/M([\d.-]+) ([\d.-]+)H([\d.-]+)/g)) {
        const [a, b] = [Number(x1), Number(x2)];
        lines.push({left: frame.left + Math.min(a, b), right: frame.left + Math.max(a, b), top: frame.top + Number(y) - 0.5, bottom: frame.top + Number(y) + 0.5});
      }
    }
    for (const one of texts) {
      if (one.text.matches(".mark-of-client")) continue; // it is on its own line
      const through = lines.find((line) => line.left < one.right - 0.5 && line.right > one.left + 0.5 && line.top < one.bottom - 0.5 && line.bottom > one.top + 0.5);
      if (through) wrong.push(`a line goes through ${one.words} at ${Math.round(one.left - frame.left)}, ${Math.round(one.top - frame.top)}`);
    }
  }
  return wrong;
})()
