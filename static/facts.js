// What the app declares once and the scripts go by (app/pages/facts.py): every page has it, in the reader's language.

/** `states` by name: their `words`, whether nothing runs in them (`rests`), whether a run has `ended` by itself. */
export const {states} = JSON.parse(document.getElementById("facts").textContent);
