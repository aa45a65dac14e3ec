// Whether a finger or a button is down: what is beneath it must not be replaced meanwhile, or its click finds nothing.
let down = false;
const later = new Set();

addEventListener("pointerdown", () => (down = true), true);
for (const type of ["pointerup", "pointercancel", "blur"]) addEventListener(type, up, true);
// It may have been let go outside of the window.
addEventListener("pointermove", ({buttons}) => buttons || up(), {capture: true, passive: true});

export const pressed = () => down;

/** Once nothing is down, and its click was dealt with. */
export const whenReleased = (run) => later.add(run);

function up() {
  if (!down) return;
  down = false;
  setTimeout(() => {
    const due = [...later];
    later.clear();
    for (const run of due) run();
  });
}
