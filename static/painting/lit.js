// What the page uses of lit-html, in one place: templates that patch only what changed. Text is always text; there is
// no unsafeHTML here, and there must be none.
export {html, svg, nothing, render} from "../vendor/lit-html/lit-html.js";
export {repeat} from "../vendor/lit-html/directives/repeat.js";
export {classMap} from "../vendor/lit-html/directives/class-map.js";
export {ifDefined} from "../vendor/lit-html/directives/if-defined.js";
export {live} from "../vendor/lit-html/directives/live.js";
export {ref, createRef} from "../vendor/lit-html/directives/ref.js";
