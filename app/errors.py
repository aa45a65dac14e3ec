"""Every refusal that a caller can meet: one small tree, each with its HTTP status, and one JSON shape (RFC 9457).

Refusal
├── the caller's     Unknown 404, MethodNotAllowed 405, Invalid 422, BodyTooLarge 413
├── not permitted    TokenRequired 401, ReadOnly, ForeignHost, ForeignOrigin, PortNotAllowed, HostNotAllowed 403,
│                    TooManyGuesses 429
├── the moment's     NameTaken, PortTaken, NotStopped, NotRunning, NotAccepted, Interrupted 409,
│                    PreconditionFailed 412
├── ours             ShuttingDown, TooManyStreams, OutOfDescriptors, RecordersBusy, NotPlayed 503,
│                    NotKept 507, InternalError 500
└── the fleet's      EngineSilent, NobodyRunsIt 503, NodeLost 502, NodeSilent 504, LastNode 409
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """Why a call was not done. ``detail`` says what to do about it; ``extra`` holds what a program needs to act.

    A class's docstring is the text of its page under ``/problems/``.
    ``passes``: it may be otherwise in a while, without anything being changed here.
    """

    passes: bool = False
    status: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """The body, as RFC 9457 has it."""
        return {
            "type": f"/problems/{self.name}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class Unknown(Refusal):
    """Nothing has this name or address. ``what`` says which kind of thing was looked for."""

    status, name, title = 404, "unknown", "There is no such thing"


class MethodNotAllowed(Refusal):
    """The address exists but does not take this method; the ``Allow`` header lists those it takes."""

    status, name, title = 405, "method-not-allowed", "This address does not take that method"


class Invalid(Refusal):
    """A value is missing, of the wrong kind, or out of its bounds. ``errors`` lists each field with what is wrong."""

    status, name, title = 422, "invalid", "The request is not valid"

    def __init__(
        self, detail: str, *, field: str | None, errors: list[dict[str, Any]] | None = None, passes: bool = False
    ) -> None:
        super().__init__(detail, field=field, errors=errors or [{"field": field, "message": detail}])
        self.passes = passes


class BodyTooLarge(Refusal):
    """The body is longer than any request here needs; ``limit`` is the most bytes that are read."""

    status, name, title = 413, "body-too-large", "The request's body is too large"


class TokenRequired(Refusal):
    """The app was started with a token. Send it as ``Authorization: Bearer TOKEN``, or log in on the page."""

    status, name, title = 401, "token-required", "A token is required"


class TooManyGuesses(Refusal):
    """Many different tokens were wrong of late: from this address, or from all together. Nothing is tried for now."""

    status, name, title = 429, "too-many-guesses", "Too many wrong tokens"


class ReadOnly(Refusal):
    """The viewer token reads only; changing anything takes the other one."""

    status, name, title = 403, "read-only", "This token reads only"


class ForeignHost(Refusal):
    """The Host header names an address that is not this app's. A page on a foreign name must not reach it by DNS."""

    status, name, title = 403, "foreign-host", "This host name is not ours"


class ForeignOrigin(Refusal):
    """The request comes from a page of another site, which may neither change anything here nor open a WebSocket."""

    status, name, title = 403, "foreign-origin", "Another site's page sent this"


class PortNotAllowed(Refusal):
    """The port is outside the range that the app may use (``--ports``), or the system keeps it for privileged users."""

    status, name, title = 403, "port-not-allowed", "This port may not be used"


class HostNotAllowed(Refusal):
    """Listening beyond loopback takes a token or ``--trust-network``; the app was started with neither."""

    status, name, title = 403, "host-not-allowed", "Servers may listen on loopback only"


class NameTaken(Refusal):
    """Another server has this name; ``server`` is its address here."""

    status, name, title = 409, "name-taken", "The name is taken"


class PortTaken(Refusal):
    """Something listens there already: ``holder`` is the server's name, or null for a program outside."""

    status, name, title = 409, "port-taken", "The port is taken"
    passes = True


class NotStopped(Refusal):
    """Host, port and variant can change only while nothing runs: stop the server first."""

    status, name, title = 409, "not-stopped", "The server is not stopped"


class NotRunning(Refusal):
    """Nothing runs: there are no calls to see, nor to record. Start the server first."""

    status, name, title = 409, "not-running", "The server does not run"


class NotAccepted(Refusal):
    """The client waits in the kernel's accept queue; only its server's ``accept`` can take it out, or a stop."""

    status, name, title = 409, "not-accepted", "The connection was not accepted yet"


class Interrupted(Refusal):
    """The server was stopped or removed while it was still starting."""

    status, name, title = 409, "interrupted", "The server was stopped meanwhile"


class PreconditionFailed(Refusal):
    """The server's spec is not the one that ``If-Match`` names: it was changed meanwhile. Nothing was done; ``etag`` is
    that of its present spec. Read the server again, and decide again."""

    status, name, title = 412, "precondition-failed", "The server was changed meanwhile"


class ShuttingDown(Refusal):
    """The app is ending and starts nothing new."""

    status, name, title = 503, "shutting-down", "The app is shutting down"


class TooManyStreams(Refusal):
    """As many feeds and taps are read as the app's setting allows: close one, or start the app with more."""

    status, name, title = 503, "too-many-streams", "Too many streams are open"


class OutOfDescriptors(Refusal):
    """The process has no file descriptor left for servers: hang up connections, stop servers, or raise its limit."""

    status, name, title = 503, "out-of-descriptors", "No file descriptor is left"
    passes = True


class NotKept(Refusal):
    """It was done, but is not in the state file: the disk is full, perhaps (``reason``). A kill would undo it."""

    status, name, title = 507, "not-kept", "It was done, and cannot be kept"


class EngineSilent(Refusal):
    """The fleet's engine (etcd) cannot be reached, so that nothing of the fleet can change. It may have been done all
    the same, if the engine fell silent in the midst of it: look again."""

    status, name, title = 503, "engine-silent", "The fleet's engine does not answer"
    passes = True


class NobodyRunsIt(Refusal):
    """No node has this server now: the one that had it is gone, and another one is about to take it."""

    status, name, title = 503, "nobody-runs-it", "No node has this server now"


def gone_elsewhere(server: str) -> NobodyRunsIt:
    return NobodyRunsIt(
        f"{server!r} has just gone to another node, or was changed there; try again.",
        node=None,
        headers={"Retry-After": "1"},
    )


class NodeLost(Refusal):
    """The server's ``node`` is gone, or cannot be reached. A floating server comes back on another node by itself."""

    status, name, title = 502, "node-lost", "The server's node is lost"


class NodeSilent(Refusal):
    """The server's ``node`` took the call and did not answer in time; it may have been done."""

    status, name, title = 504, "node-silent", "The server's node does not answer"


class LastNode(Refusal):
    """No other node takes servers: those that float would have nowhere to go."""

    status, name, title = 409, "last-node", "No other node takes servers"


class LabBusy(Refusal):
    """Another experiment is being measured (``experiment`` is its address): two at once would be each other's noise."""

    status, name, title = 409, "lab-busy", "Another experiment is being measured"
    passes = True


class TargetNotAllowed(Refusal):
    """The lab sends load to other machines only if the app was started with ``--lab-targets``."""

    status, name, title = 403, "target-not-allowed", "This may not be measured from here"


class RecordersBusy(Refusal):
    """As many recordings or comparisons are being made as the app makes at once; ``limit`` says how many."""

    status, name, title = 503, "recorders-busy", "Too many recordings are being made"
    passes = True


class NotPlayed(Refusal):
    """The script could not be played to one of the variants: the server host that was started for it failed."""

    status, name, title = 503, "not-played", "The script could not be played"


class InternalError(Refusal):
    """A bug in the app; its log has the traceback."""

    status, name, title = 500, "internal-error", "Something went wrong in the app"


def refusals() -> dict[str, type[Refusal]]:
    """All of them by name."""
    return {kind.name: kind for kind in Refusal.__subclasses__()}
