// A stream of events from the app: by WebSocket, of which a browser opens hundreds to one host, while all of its tabs
// together have six connections for everything else. Where no WebSocket gets through, it is Server-Sent Events.
import {at} from "./facts.js";

const EVENTS = ["opened", "snapshot", "changes", "beat", "bytes", "lost", "closed", "dropped", "begin", "calls", "end"];

/**
 * `heard(name, data, id)` is called with each event, `opened()` once it flows, `ended()` when it does no more, for
 * whatever reason. Returns the function that closes it, after which nothing is called.
 */
export function openStream(path, {opened, heard, ended}) {
  let close = byWebSocket(path, {
    opened,
    heard,
    ended: (flowed) => {
      if (flowed) ended();
      else close = byEventSource(path, {opened, heard, ended});
    },
  });
  return () => close();
}

function byWebSocket(path, {opened, heard, ended}) {
  const address = new URL(at(path), location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  let flowed = false;
  socket.onopen = () => {
    flowed = true;
    opened();
  };
  socket.onmessage = ({data}) => {
    const message = JSON.parse(data);
    heard(message.event, message.data, message.id);
  };
  socket.onclose = () => ended(flowed);
  return () => {
    socket.onmessage = socket.onclose = null;
    socket.onopen = () => socket.close(); // to close it before is a failure to the browser, which complains
    if (socket.readyState === WebSocket.OPEN) socket.close();
  };
}

function byEventSource(path, {opened, heard, ended}) {
  const source = new EventSource(at(path));
  source.onopen = opened;
  source.onerror = () => {
    source.close(); // else the browser tries again by itself, and a tap would have a hole that nobody sees
    ended();
  };
  for (const name of EVENTS) source.addEventListener(name, ({data, lastEventId}) => heard(name, JSON.parse(data), lastEventId));
  return () => source.close();
}
