// The emulator's colours, from the tokens: state colours for red, green and yellow, --soft for what is aside. What a
// server chooses beyond them is kept legible by the emulator's own minimum of contrast.

const LIGHT = {blue: "#1f5fbf", magenta: "#8a3a96", cyan: "#0b6f80"};
const DARK = {blue: "#7fb0ff", magenta: "#d59be0", cyan: "#6cc8d8"};

/** As the tokens are within `place` now. */
export function themeWithin(place) {
  const probe = document.createElement("span");
  place.append(probe);
  const token = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const [ground, ink, softer, edge, running, waiting, trouble] = ["raised", "ink", "soft", "edge", "running", "waiting", "trouble"].map(token);
  probe.remove();
  const [red, green, blue] = ground.match(/[\d.]+/g).map(Number);
  const {blue: blues, magenta, cyan} = red + green + blue > 384 ? LIGHT : DARK;
  return {
    background: ground,
    foreground: ink,
    cursor: ink,
    cursorAccent: ground,
    selectionBackground: edge,
    selectionInactiveBackground: edge,
    black: ground,
    red: trouble,
    green: running,
    yellow: waiting,
    blue: blues,
    magenta,
    cyan,
    white: ink,
    brightBlack: softer,
    brightRed: trouble,
    brightGreen: running,
    brightYellow: waiting,
    brightBlue: blues,
    brightMagenta: magenta,
    brightCyan: cyan,
    brightWhite: ink,
    scrollbarSliderBackground: edge,
    scrollbarSliderHoverBackground: softer,
    scrollbarSliderActiveBackground: softer,
  };
}
