"""Who shall take what nobody has: the least servers first. Every node comes to the same answer from the same keys."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping


def loads(holders: Iterable[str], nodes: Collection[str]) -> dict[str, int]:
    """How many servers each of these nodes has, given who holds each server."""
    found = dict.fromkeys(nodes, 0)
    for holder in holders:
        if holder in found:
            found[holder] += 1
    return found


def assigned(orphans: Iterable[str], load: Mapping[str, int]) -> dict[str, str]:
    """A node for each server, so that in the end they are as even as can be; empty without nodes."""
    heap = [(count, node) for node, count in load.items()]
    heapq.heapify(heap)
    found = {}
    for name in sorted(orphans):
        if not heap:
            break
        count, node = heap[0]
        found[name] = node
        heapq.heapreplace(heap, (count + 1, node))
    return found


def gives_one_up(node: str, load: Mapping[str, int]) -> bool:
    """Whether this node is the one that hands a server over now, to make it more even."""
    if node not in load or load[node] - min(load.values()) < 2:
        return False
    return node == min(load, key=lambda one: (-load[one], one))
