// The walk's seven steps: what to do, how it is noticed that it was done, and why it was so. It is noticed by the
// server's own figures (GET /servers/NAME), so that a client in another window counts as well as a terminal here.
//
// A task's `done(now, start)` compares the server with what it was when the task began.
import {isAt} from "../facts.js";
import {_} from "../words.js";

const came = (now, start) => now.connections.total + now.connections.waiting > start.connections.total + start.connections.waiting;
const answered = (now, start) => now.bytes_out > start.bytes_out;
const onLoopPage = () => isAt("/ui/loop");
const bothInside = (now) => now.connections.open >= 2 && now.connections.waiting === 0;

export const STEPS = [
  {
    variant: "accept-once",
    title: _("Accept one client"),
    intro: _("The program stands at accept and waits for exactly one client. It waits for you."),
    tasks: [
      {words: _("Open a terminal: that is a client who connects."), terminal: true, done: (now) => now.state === "exited"},
    ],
    why: _("It closed at once, without a byte, and the server has exited: accept returned, there was nothing after it, the program ended. Blocking means that nothing else happens meanwhile. A server needs to read, too."),
  },
  {
    variant: "blocking-single",
    title: _("Read until quit, answer, end"),
    intro: _("This one reads what its client says, until a line ends with quit, and then sends everything back."),
    tasks: [
      {words: _("Open a terminal and send hello. Nothing comes back yet: it collects."), terminal: true, done: (now, start) => now.bytes_in > start.bytes_in},
      {words: _("Send quit: everything comes back at once, and the server has exited."), done: (now) => now.state === "exited"},
    ],
    why: _("recv blocks as accept does. One client was served from its first byte to its last, and that was all. To serve the next one, it takes a loop around accept."),
  },
  {
    variant: "blocking",
    title: _("Many clients, one at a time"),
    intro: _("A loop around accept serves everybody, but in turn. You are about to see the queue."),
    tasks: [
      {words: _("Open a terminal: this client is inside."), terminal: true, done: (now) => now.connections.open >= 1},
      {words: _("Open a second one. It is connected, and yet it stands outside the door: waiting in the backlog."), terminal: true, done: (now) => now.connections.waiting >= 1},
      {words: _("Send quit in the first one, and watch the second."), done: (now, start) => answered(now, start) && now.connections.total > start.connections.total},
    ],
    why: _("The kernel completes the connection and keeps it in the accept queue; the program was busy with somebody else and did not call accept. Only when the first client was done was the second let in. One slow client holds up everybody."),
  },
  {
    variant: "nonblocking",
    title: _("All clients at once, by polling"),
    intro: _("Nothing blocks any more: accept and recv say at once that there is nothing yet, and the program asks again, and again."),
    tasks: [
      {words: _("Open two terminals: both are inside, nobody waits."), terminal: true, done: bothInside},
      {words: _("Send quit in either one: it is answered while the other one is silent."), done: answered},
      {words: _("Look at its share of the loop while nobody says anything: it burns the core."), link: "/ui/loop", done: (now) => onLoopPage() && now.loop_share > 0.5},
    ],
    why: _("Asking everybody in turn serves everybody, but asking costs as much when there is nothing to hear. A whole core for two silent clients. Somebody else should say who is ready."),
  },
  {
    variant: "selectors",
    title: _("Ask the operating system who is ready"),
    intro: _("The step before was stopped, so that its burning does not hide this one. A selector sleeps until the kernel says who has something to say."),
    tasks: [
      {words: _("Open two terminals: both are inside."), terminal: true, done: bothInside},
      {words: _("Send hello in either one: You Got hello comes back at once, while the other one is silent."), done: answered},
      {words: _("Look at its share of the loop now: next to nothing."), link: "/ui/loop", done: (now) => onLoopPage() && now.loop_share !== null && now.loop_share < 0.05},
    ],
    why: _("epoll keeps the list of who is ready, and the program sleeps until there is somebody. The price is in the code: it is turned inside out, into who is ready for what, with each client's state kept by hand."),
  },
  {
    variant: "asyncio-basic",
    title: _("The same with coroutines"),
    intro: _("One coroutine for each client reads like the blocking code of step 3, and the event loop is the selector."),
    tasks: [
      {words: _("Open two terminals, and send hello in either one: it is answered."), terminal: true, done: (now, start) => bothInside(now) && answered(now, start)},
      {words: _("See in its source where its tasks wait at this moment."), link: "#source", done: (now) => isAt(`/ui/servers/${now.name}`)},
    ],
    why: _("Each await is a place where others may go on. But nobody waits for these tasks: if one fails, its exception is seen by nobody, until much later or never. The last step mends that."),
  },
  {
    variant: "asyncio",
    title: _("Coroutines with contained errors"),
    intro: _("Each client's coroutine catches and logs its own errors, and always closes its connection."),
    tasks: [
      {words: _("Open two terminals: both are inside."), terminal: true, done: bothInside},
      {words: _("Send boom in one of them. It is a bug that goes off."), done: (now, start) => now.exceptions > start.exceptions},
      {words: _("Send hello in the other one: it goes on as if nothing had happened."), done: (now, start) => answered(now, start) && now.connections.open >= 1},
    ],
    why: _("One client's error ended one client's connection. It is on the exceptions page, with its traceback and the bytes that caused it, and everybody else noticed nothing. That is the server of the tutorial's end."),
  },
];
