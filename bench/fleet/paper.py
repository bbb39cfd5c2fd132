"""Queueing on paper: what the simulation must show where a formula is known. Pure.

In all of them requests arrive as a Poisson process. `rate` is requests per second, `seconds` the mean of the service
time; a wait is the time in the queue, without the service, in seconds. Each raises ValueError where the queue has no
steady state, or where an argument is out of its range.

Sources: L. Kleinrock, Queueing Systems I (1975), 3.2, 3.5 and 5.6; W. King, Analysis of Demand Paging
Algorithms (1971).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def erlang_c(servers: int, offered: float) -> float:
    """The share of requests that must wait in M/M/k. `offered` is `rate` times `seconds`, in servers' worth."""
    if not 0 < offered < servers:
        raise ValueError(f"{offered} servers' worth of requests and {servers} servers have no steady state")
    blocked = 1.0  # Erlang's B formula, by its recursion over the number of servers
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - (offered / servers) * (1 - blocked))


def mmk_mean_wait(servers: int, rate: float, seconds: float) -> float:
    """The mean wait in M/M/k, over all requests."""
    return erlang_c(servers, rate * seconds) / (servers / seconds - rate)


def mmk_longer(servers: int, rate: float, seconds: float, wait: float) -> float:
    """The share of requests that wait longer than `wait` in M/M/k."""
    return erlang_c(servers, rate * seconds) * math.exp(-(servers / seconds - rate) * wait)


def mg1_mean_wait(rate: float, seconds: float, variation: float) -> float:
    """The mean wait in M/G/1, by Pollaczek and Khinchine.

    `variation` is the variance of the service time over the square of its mean: 1 for an exponential one.
    """
    if not 0 < rate * seconds < 1:
        raise ValueError(f"{rate * seconds} servers' worth of requests and 1 server have no steady state")
    return rate * seconds**2 * (1 + variation) / (2 * (1 - rate * seconds))


def jsq_mean_wait(servers: int, rate: float, seconds: float, *, longest: int = 18) -> float:
    """The mean wait where each request joins the shortest of `servers` queues, one server each, exponential service.

    There is no formula. The Markov chain is solved by iteration, for queues up to `longest` with the one in service:
    a state is the sorted lengths, and an arrival that finds all of them full is lost, which has to be rare.
    """
    if not 0 < rate * seconds < servers:
        raise ValueError(f"{rate * seconds} servers' worth of requests and {servers} servers have no steady state")
    states = list(itertools.combinations_with_replacement(range(longest + 1), servers))
    place = {state: index for index, state in enumerate(states)}
    incoming: list[list[tuple[int, float]]] = [[] for _ in states]
    leaving = [0.0] * len(states)
    for index, state in enumerate(states):
        moves: list[tuple[tuple[int, ...], float]] = []
        if state[0] < longest:
            moves.append((tuple(sorted((state[0] + 1, *state[1:]))), rate))
        for server, length in enumerate(state):
            if length:
                moves.append((tuple(sorted((*state[:server], length - 1, *state[server + 1 :]))), 1 / seconds))
        for target, speed in moves:
            incoming[place[target]].append((index, speed))
            leaving[index] += speed
    share = [1 / len(states)] * len(states)
    for _ in range(2_000):
        change = 0.0
        for index, sources in enumerate(incoming):
            value = sum(share[source] * speed for source, speed in sources) / leaving[index]
            change += abs(value - share[index])
            share[index] = value
        total = sum(share)
        share = [value / total for value in share]
        if change < 1e-9:
            break
    inside = sum(value * sum(state) for value, state in zip(share, states, strict=True))
    return inside / rate - seconds  # Little's law


def lru_misses(popularity: Sequence[float], holds: int) -> float:
    """The share of requests whose model is not in a memory of `holds` models that drops the least recently used one.

    `popularity` is the share of requests for each model; each request is for a model of its own choice. Exact, by the
    probability of each order of the last used models; takes time with the power `holds` of the number of models.
    """
    if not 0 < holds <= len(popularity) or abs(sum(popularity) - 1) > 1e-9 or min(popularity) <= 0:
        raise ValueError(f"{holds} of the models with the popularity {list(popularity)} cannot be held")
    hits = 0.0
    for order in itertools.permutations(popularity, holds):
        probability, left = 1.0, 1.0
        for share in order:
            probability *= share / left
            left -= share
        hits += probability * sum(order)
    return 1 - hits


def zipf(models: int, exponent: float) -> list[float]:
    """The share of requests for each of `models`, most popular first: as 1 / place ** `exponent`."""
    weights = [place**-exponent for place in range(1, models + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]
