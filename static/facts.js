// What the app declares once and the scripts go by (app/pages/page.py): every page has it, in the reader's language.

/**
 * `states` by name: their `words`, whether nothing runs in them (`rests`), whether a run has `ended` by itself.
 * `topics` of the feed by name: the `kind` of their changes, and the field (`key`) by which one of them is known.
 * `connectionStates`: words by a connection's state.
 * `now` is the app's time when it made the page, `build` tells this version's pages and scripts from another's.
 * `root` is the path under which the app is reached, empty for the host's own.
 * `codes` are a terminal's close codes by name; `closeCodes`, by code, what `happened`, what to do (`advice`), whether that is
 * `trouble`, and whether the server must be started (`needsStart`).
 */
export const {states, topics, connectionStates, codes, closeCodes, root, now, build} = JSON.parse(document.getElementById("facts").textContent);

/** The address of a path of the app's, such as "/servers". */
export const at = (path) => root + path;

/** Whether this page of the app's is shown, such as "/ui/loop". */
export const isAt = (path) => location.pathname === at(path);
