// A stream of events from the app: by WebSocket, of which a browser opens hundreds to one host, while all of its tabs
// together have six connections for everything else. Where no WebSocket gets through, by Server-Sent Events.
//
// A proxy may let HTTP pass and never answer a WebSocket's handshake, or hold back what follows it. The app's first event
// comes at once, so where none has come in time both are opened, and the first that brings an event is the stream.
import {at} from "./facts.js";

const EVENTS = ["opened", "snapshot", "changes", "beat", "bytes", "lost", "closed", "dropped", "begin", "calls", "end"];
const TIMEOUT_MS = 10_000;
const NEXT_TIMEOUT_MS = 1000; // of the next WebSocket, after one that Server-Sent Events were quicker than

let timeout = TIMEOUT_MS;

/**
 * `heard(name, data, id)` is called with each event, `ended()` when there are no more, for whatever reason. Returns the
 * function that closes it, after which nothing is called.
 */
export function openStream(path, {heard, ended}) {
  let flows = false;
  let closeSource = null;
  const closeSocket = byWebSocket(path, {
    heard: (...event) => {
      if (!flows) settle(closeSource, TIMEOUT_MS);
      heard(...event);
    },
    ended: () => {
      if (flows) ended();
      else openSource(TIMEOUT_MS);
    },
  });
  const timer = setTimeout(() => openSource(NEXT_TIMEOUT_MS), timeout);
  return () => {
    clearTimeout(timer);
    closeSocket();
    closeSource?.();
  };

  function openSource(nextTimeout) {
    clearTimeout(timer);
    closeSource ??= byEventSource(path, {
      heard: (...event) => {
        if (!flows) settle(closeSocket, nextTimeout);
        heard(...event);
      },
      ended: () => {
        closeSocket();
        ended();
      },
    });
  }

  /** The first event has come. */
  function settle(closeOther, nextTimeout) {
    flows = true;
    clearTimeout(timer);
    closeOther?.();
    timeout = nextTimeout;
  }
}

function byWebSocket(path, {heard, ended}) {
  const address = new URL(at(path), location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.onmessage = ({data}) => {
    const message = JSON.parse(data);
    heard(message.event, message.data, message.id);
  };
  socket.onclose = ended;
  return () => {
    socket.onmessage = socket.onclose = null;
    if (socket.readyState === WebSocket.OPEN) socket.close();
    else {
      // To close it before it is open is a failure to the browser, which complains; one that is never answered has to be.
      socket.onopen = () => socket.close();
      setTimeout(() => socket.close(), TIMEOUT_MS);
    }
  };
}

function byEventSource(path, {heard, ended}) {
  const source = new EventSource(at(path));
  source.onerror = () => {
    source.close(); // else the browser tries again by itself, and a tap would have a hole that nobody sees
    ended();
  };
  for (const name of EVENTS) source.addEventListener(name, ({data, lastEventId}) => heard(name, JSON.parse(data), lastEventId));
  return () => source.close();
}
