// The way to what happened earlier. The template paints it as a link to a page of its own; here it adds to the list.
import {html} from "../painting/lit.js";
import {_} from "../words.js";

export const earlierButton = (more) => html`<button class="small" @click=${more}>${_("Earlier")}</button>`;
