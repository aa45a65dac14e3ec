// Calls of the app's REST, and its refusals (RFC 9457) as errors.
import {at} from "./facts.js";
import {_, translate} from "./words.js";

/** Why a call was not done: `status`, `kind` (the name of the refusal), `field` if one is to blame, `title`, `detail`. */
export class Problem extends Error {
  constructor({type = "", title = "", status = 0, detail = "", ...rest}) {
    super(translate(detail));
    Object.assign(this, rest);
    this.status = status;
    this.kind = type.slice(type.lastIndexOf("/") + 1);
    this.title = translate(title);
    this.detail = translate(detail);
    const wrong = rest.errors?.find((one) => one.field === rest.field);
    this.fieldError = wrong ? translate(wrong.message) : this.detail; // without the field's name, for beside the field
  }
}

/** The answer's JSON, null where it has none. Throws a Problem, also when nobody answers. */
export async function call(method, path, body) {
  let response;
  try {
    response = await fetch(at(path), {
      method,
      headers: body === undefined ? {} : {"content-type": "application/json"},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw nobodyAnswers();
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({title: response.statusText, status: response.status}));
  if (response.status === 401) problem.detail = loggedOut();
  throw new Problem(problem);
}

export const serverPath = (name, action = "") => `/servers/${encodeURIComponent(name)}${action && `/${action}`}`;

export const loggedOut = () => _("You are logged out. Load the page again to log in; what is open here stays open until then.");

export const nobodyAnswers = () =>
  new Problem({title: _("Nobody answers"), detail: _("The app cannot be reached. It may have ended; what it should run is remembered.")});
