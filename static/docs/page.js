// The API document. Swagger UI brings its own look, and has it only while it is shown.
import {at} from "../facts.js";
import {_} from "../words.js";

const beside = (path) => new URL(path, import.meta.url).href;
const STYLES = ["../vendor/swagger-ui/swagger-ui.css", "./docs.css"].map(beside);
const night = matchMedia("(prefers-color-scheme: dark)");

export async function mount(main, feed) {
  feed.want(["servers", "loop"]);
  const place = main.querySelector("#api");
  const left = new AbortController();
  const links = await Promise.all([...STYLES.map(style), globalThis.SwaggerUIBundle ?? script(beside("../vendor/swagger-ui/swagger-ui-bundle.js"))]);
  const root = document.documentElement;
  const dress = () => root.classList.toggle("dark-mode", (root.dataset.theme === "auto" && night.matches) || root.dataset.theme === "dark");
  dress();
  night.addEventListener("change", dress, {signal: left.signal});
  const themed = new MutationObserver(dress);
  themed.observe(root, {attributeFilter: ["data-theme"]});
  place.replaceChildren();
  // Without deep links, whose anchors would lie within buttons: nothing that is operated may hold another such thing.
  SwaggerUIBundle({url: at("/openapi.json"), domNode: place, deepLinking: false, validatorUrl: null, tryItOutEnabled: true});
  return () => {
    left.abort();
    themed.disconnect();
    root.classList.remove("dark-mode");
    for (const link of links.slice(0, STYLES.length)) link.remove();
  };
}

const style = (href) => loaded(Object.assign(document.createElement("link"), {rel: "stylesheet", href}));
const script = (src) => loaded(Object.assign(document.createElement("script"), {src}));

function loaded(element) {
  return new Promise((done, failed) => {
    element.addEventListener("load", () => done(element));
    element.addEventListener("error", () => failed(new Error(_("Nobody answers"))));
    document.head.append(element);
  });
}
