"""Tickets are good for one time and one minute, and few of them wait."""

from __future__ import annotations

from core.tickets import SECONDS, Tickets


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    one, other = tickets.issue(), tickets.issue()
    assert one != other
    assert [tickets.take(one), tickets.take(one), tickets.take(""), tickets.take("x" * 32)] == [
        True,
        False,
        False,
        False,
    ]
    assert tickets.take(other)


def test_a_ticket_is_good_for_a_minute() -> None:
    now = 100.0
    tickets = Tickets(lambda: now)
    in_time, late = tickets.issue(), tickets.issue()
    now += SECONDS - 1
    assert tickets.take(in_time)
    now += 1
    assert not tickets.take(late)


def test_of_many_that_wait_the_oldest_are_void() -> None:
    tickets = Tickets()
    issued = [tickets.issue() for _ in range(20)]
    assert [tickets.take(ticket) for ticket in issued] == [False] * 4 + [True] * 16
