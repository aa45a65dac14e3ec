// What the page uses of lit-html, in one place: templates that patch only what changed. Text is always text; there is
// no unsafeHTML here, and there must be none.
import {render as renderInto} from "../vendor/lit-html/lit-html.js";
export {html, svg, nothing} from "../vendor/lit-html/lit-html.js";
export {repeat} from "../vendor/lit-html/directives/repeat.js";
export {classMap} from "../vendor/lit-html/directives/class-map.js";
export {ifDefined} from "../vendor/lit-html/directives/if-defined.js";
export {live} from "../vendor/lit-html/directives/live.js";
export {ref, createRef} from "../vendor/lit-html/directives/ref.js";

/**
 * A browser's translation wraps the text nodes that it finds, and what is patched later would go into nodes that nobody sees.
 * So what is patched is not for it; the interface has languages of its own.
 */
export function render(view, place, options) {
  if (place.translate) place.translate = false;
  return renderInto(view, place, options);
}
