// Calls in words: bytes, sizes, spans, what a server does, and a call as strace writes it.
import {judged} from "./model.js";

export const escaped = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

export function shownBytes(base64, most = 12) {
  if (!base64) return "";
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  let text = "";
  for (const char of new TextDecoder().decode(bytes.slice(0, most))) {
    const code = char.codePointAt(0);
    if (char === "\n") text += "\\n";
    else if (char === "\r") text += "\\r";
    else if (char === "\t") text += "\\t";
    else if (code < 32 || (code > 126 && code < 161) || /[\p{C}\p{Z}]/u.test(char) && char !== " ") text += `\\x${code.toString(16).padStart(2, "0")}`;
    else text += char;
  }
  return bytes.length > most ? `${text}…` : text;
}

export const sized = (bytes) => bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

export function spanned(seconds) {
  if (seconds === null) return "…";
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 0.001 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${Math.round(seconds * 1e6)} µs`;
}

export function doesWords(does, _) {
  if (does === "blocked") return _("blocked");
  return does === "sleeping" ? _("asleep until something is ready") : _("running");
}

export const describedBar = (bar, _) => labelOf(bar, _).filter(Boolean).join(": ");

/** A word for what the server does, and what it does in particular. */
export function labelOf(bar, _) {
  const {call} = bar;
  const line = call.line ? ` · ${_("line %(n)s", {n: call.line})}` : "";
  if (bar.storm) return [_("running, finding nothing"), `${call.call} → ${call.errno ?? call.result} × ${call.times.toLocaleString("en")}`];
  if (bar.does === "blocked") return [_("blocked"), `${call.call}${line} · ${spanned(bar.to - bar.from)}`];
  if (bar.does === "sleeping") return [`${_("asleep")} · ${spanned(bar.to - bar.from)}`, _("until something is ready")];
  const own = bar.calls.filter((one) => one.call !== "wait");
  const lines = [...new Set(own.map((one) => one.line).filter(Boolean))];
  const counts = new Map();
  for (const one of own) counts.set(one.call, (counts.get(one.call) ?? 0) + one.times);
  const names = [...counts].map(([name, times]) => times > 1 ? `${name} ×${times.toLocaleString("en")}` : name);
  return ["", `${names.slice(0, 4).join(", ")}${names.length > 4 ? "…" : ""}${lines.length === 1 ? ` · ${_("line %(n)s", {n: lines[0]})}` : ""}`];
}

/** `recv(65536) → 6 "hello\n"`, as strace writes it. */
export function outcome(call, _) {
  const args = Object.entries(call.args).map(([name, value]) => name === "timeout" ? (value === null ? _("for ever") : value === 0 ? "0" : `${value} s`) : String(value)).join(", ");
  const result = call.took === null ? "…" : call.errno ?? (call.result === null ? "?" : call.result);
  return `${call.call}(${args}) → ${result}`;
}

/** A row of the list: when, on what, what, how long. */
export function listedRow(call, model, _) {
  const one = judged(call, model.seconds);
  const does = one.does === "running" && !one.storm ? "" : doesWords(one.does, _);
  return {
    n: call.n, at: call.at - model.zero, does: one.does, on: [call.on, model.names[call.on]].filter(Boolean).join(" "),
    words: `${outcome(call, _)}${call.bytes ? ` "${shownBytes(call.bytes, 32)}"` : ""}${call.times > 1 ? ` × ${call.times.toLocaleString("en")}` : ""}`,
    took: `${spanned(call.took)}${does ? `, ${does}` : ""}`, line: call.line, who: call.task ?? call.thread,
  };
}
