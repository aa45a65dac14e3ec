// The way to what happened earlier: a link, as the template paints it, which the script follows by adding to the list.
import {html} from "../painting/lit.js";
import {_} from "../words.js";

export const earlierLink = (address, more) => html`<a class="button small" href=${address} @click=${(event) => {
  event.preventDefault();
  more();
}}>${_("Earlier")}</a>`;
