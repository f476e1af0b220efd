"""The script of shared limits, asked directly under a clock that the test sets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from servers.crowd import most_in_a_window
from servers.redis import RedisServer

FOLDER = Path(__file__).parent.parent / "src/engine/limiter/shared"
CLOCK = "(function() local t = redis.call('GET', 'test:now') return {0, tonumber(t)} end)()"
LIMIT, WINDOW, PART, LEASE = 12, 64_000, 1_000, 6_000


def script(name: str) -> str:
    """The text that the engine sends, with the test's clock."""
    text = (FOLDER / "common.lua").read_text() + (FOLDER / name).read_text()
    assert text.count("redis.call('TIME')") == 1
    return text.replace("redis.call('TIME')", CLOCK)


@dataclass
class Lease:
    """Some permits, usable from a start to an end by a clock that never steps."""

    start: int
    end: int
    left: int
    charged: int
    used: int = 0
    last: int = 0


@dataclass
class Party:
    """One that asks, and tells truly what it used."""

    name: str
    leases: list[Lease] = field(default_factory=list)
    sighting: tuple[int, int] | None = None

    def reports(self, now: int, *, ending: bool) -> list[int]:
        """What became of its leases; those that have not ended stay unless `ending`."""
        told: list[int] = []
        for lease in list(self.leases):
            if ending or now >= lease.end or lease.left == 0:
                assert self.sighting is not None
                seen, here = self.sighting
                last = -(-(seen + lease.last - here) // PART)
                told += [lease.charged, lease.left, lease.used, last if lease.last else lease.charged]
                self.leases.remove(lease)
        return told


@pytest.fixture(scope="module")
def server(redis_command: str) -> Iterator[RedisServer]:
    """One server for all examples."""
    with RedisServer(redis_command) as server:
        yield server


class World:
    """Parties, a true time, and a server whose clock may be set."""

    def __init__(self, server: RedisServer) -> None:
        self.server, self.text = server, script("grant.lua")
        self.now, self.clock = 1_000_000, 50_000_000
        self.parties = [Party("a"), Party("b"), Party("c")]
        self.uses: list[int] = []
        server.ask("FLUSHALL")

    def ask(self, party: Party, most: int, *, ending: bool = False) -> int:
        """One call; how many permits it gave."""
        latest = "" if party.sighting is None else party.sighting[0] + self.now - party.sighting[1]
        self.server.ask("SET", "test:now", self.clock)
        told = party.reports(self.now, ending=ending)
        arguments = [
            party.name,
            "window",
            LIMIT,
            WINDOW,
            PART,
            LEASE,
            3 * WINDOW,
            1,
            most,
            "",
            0,
            latest,
            0,
            10**9,
        ]
        answer = self.server.ask("EVAL", self.text, 1, "limit", *arguments, *told)
        permits, starts_in, length, seen, charged = answer[:5]
        party.sighting = (seen, self.now)
        if permits:
            start = self.now + starts_in
            party.leases.append(Lease(start, start + length, permits, charged))
        return int(permits)

    def use(self, party: Party, permits: int) -> None:
        """Use what can be used now."""
        for lease in party.leases:
            if lease.start <= self.now < lease.end:
                taken = min(permits, lease.left)
                lease.left -= taken
                lease.used += taken
                lease.last = self.now if taken else lease.last
                permits -= taken
                self.uses += [self.now] * taken

    def advance(self, time: int) -> None:
        """Time passes everywhere."""
        self.now += time
        self.clock += time

    def fullest(self) -> int:
        """The most uses in any window."""
        return most_in_a_window(self.uses, WINDOW)


def adverse(world: World, chance: random.Random, steps: int, *, setting: bool) -> None:
    """Parties that take all they get and use it as late as they may, or at once, or give it back."""
    # Everybody has seen the clock before anybody sets it; who has not cannot tell a step from time.
    for party in world.parties:
        world.ask(party, 0)
    for _ in range(steps):
        party = chance.choice(world.parties)
        what = chance.random()
        if what < 0.4:
            world.ask(party, chance.randint(1, LIMIT), ending=chance.random() < 0.3)
        elif what < 0.6:
            world.use(party, chance.randint(1, LIMIT))
        elif setting and what < 0.65:
            world.clock += chance.choice([-(10**7), -500, 500, WINDOW, 10**7])
        elif what < 0.85:
            # To the last moment of a lease, which is then used up; or to the first.
            edges = [lease.end - 1 for lease in party.leases] + [lease.start for lease in party.leases]
            if later := [edge for edge in edges if edge > world.now]:
                world.advance(chance.choice(later) - world.now)
                world.use(party, LIMIT)
        else:
            world.advance(chance.choice([1, PART // 3, PART, LEASE, WINDOW - LEASE, WINDOW]))


@pytest.mark.parametrize("setting", [False, True], ids=["running", "set"])
@pytest.mark.parametrize("seed", range(4))
def test_no_window_holds_more_than_the_limit_whatever_parties_do_and_clocks_show(
    server: RedisServer, seed: int, *, setting: bool
) -> None:
    world = World(server)
    adverse(world, random.Random(seed), 2500, setting=setting)  # noqa: S311
    assert world.fullest() <= LIMIT
    assert len(world.uses) > 1000


def test_who_cannot_start_now_is_given_a_later_start_in_the_order_of_asking(server: RedisServer) -> None:
    world = World(server)
    first, second, third = world.parties
    assert world.ask(first, LIMIT) == LIMIT
    assert world.ask(second, 8) == 8
    assert world.ask(third, 8) == 8
    assert second.leases[0].start >= world.now + WINDOW
    assert third.leases[0].start >= second.leases[0].start + WINDOW


def test_what_was_used_early_leaves_early_and_what_was_not_used_is_free_at_once(
    server: RedisServer,
) -> None:
    world = World(server)
    first, second, third = world.parties
    world.ask(first, LIMIT)
    world.use(first, 8)
    world.ask(first, 0, ending=True)
    assert world.ask(second, LIMIT) == LIMIT - 8
    world.advance(WINDOW + PART)
    assert world.ask(third, LIMIT) == 8


def test_a_clock_that_is_set_back_does_not_stop_the_limit(server: RedisServer) -> None:
    world = World(server)
    first = world.parties[0]
    assert world.ask(first, LIMIT) == LIMIT
    world.clock -= 10**9
    world.advance(WINDOW + LEASE + PART)
    # The time that passed before anybody saw the step is lost, and no more.
    assert world.ask(first, 0) == 0
    world.advance(WINDOW + LEASE + PART)
    assert world.ask(first, LIMIT) == LIMIT


def drip(server: RedisServer, now: int, most: int) -> list[Any]:
    """Ask for permits of a bucket of five that gets one each thousand."""
    server.ask("SET", "test:now", now)
    arguments = ["a", "burst", 5, 1000, 0, 2000, 10_000, 1, most, "", 0, "", 0, 10**9]
    answer: list[Any] = server.ask("EVAL", script("grant.lua"), 1, "bucket", *arguments)
    return answer[:3]


def test_a_bucket_gives_its_burst_and_then_one_permit_each_interval(server: RedisServer) -> None:
    server.ask("FLUSHALL")
    assert drip(server, 10**6, 5) == [5, 0, 0]
    assert [drip(server, 10**6, 1)[:2] for _ in range(3)] == [[1, 1000], [1, 2000], [1, 3000]]
    # After a time it is full again; a lease that may be used late costs what drips until then.
    assert drip(server, 2 * 10**6, 1) == [1, 0, 2000]
    assert drip(server, 2 * 10**6, 5)[:1] == [2]


def closed(server: RedisServer, now: int, epoch: int | str) -> tuple[int, int]:
    """Ask a closed limit for a permit, relying on this epoch; until when it waits, and the epoch there."""
    server.ask("SET", "test:now", now)
    relies_on = [epoch, 0 if epoch == "" else 1]
    arguments = ["a", "window", LIMIT, WINDOW, PART, LEASE, 3 * WINDOW, 1, 1, *relies_on, "", 1, 10**9]
    answer = server.ask("EVAL", script("grant.lua"), 1, "limit", *arguments)
    return answer[3] + answer[1], answer[5]


def test_an_old_state_that_comes_back_closes_a_closed_limit_once_more_and_only_once(
    server: RedisServer,
) -> None:
    server.ask("FLUSHALL")
    now = 50_000_000
    # A state that was made after a loss, and waited a window out.
    assert closed(server, now, 1)[0] == now + WINDOW
    server.ask("RENAME", "limit", "copy")
    now += 3 * WINDOW
    waits, epoch = closed(server, now, "")
    assert waits == now
    server.ask("RENAME", "copy", "limit")
    now += 1
    waits, newer = closed(server, now, epoch)
    assert waits == now + WINDOW
    assert newer > epoch
    # Another one who relied on what is gone, and one who knows of it.
    assert closed(server, now + PART, epoch) == (waits, newer)
    assert closed(server, now + PART, newer) == (waits, newer)
