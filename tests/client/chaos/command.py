"""What the commands that play campaigns share: their options, and what they print."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.client.chaos.campaign import Campaign, Place, play
from tests.client.chaos.faults import Chaos

MOST = 60
"""Findings that are printed."""


async def play_all(chaos: Chaos, place: Place, runs: int, first: int, at_once: int) -> list[Campaign]:
    """Play campaigns until there are so many runs."""
    campaigns: list[Campaign] = []
    seeds = iter(range(first, sys.maxsize))

    async def work() -> None:
        while sum(len(each.outcomes) for each in campaigns) < runs:
            campaigns.append(await play(chaos, next(seeds), place))

    await asyncio.gather(*(work() for _ in range(at_once)))
    return campaigns


def build_parser(description: str | None, runs: int) -> argparse.ArgumentParser:
    """Build the parser of a command that plays so many runs by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--only", action="store_true", help="play the campaign of the seed, and print its log")
    return parser


def play_and_report(
    chaos: Chaos, place: Place, options: argparse.Namespace, judge: Callable[[list[Campaign]], list[str]]
) -> bool:
    """Play campaigns, print what was found, and return whether that is something.

    Args:
        chaos: What stands before the servers.
        place: The kind of server.
        options: What `build_parser` has parsed.
        judge: Returns what is wrong with what the runs said; called when all late prompts have been delivered.
    """
    began = time.monotonic()
    if options.only:
        campaigns = [asyncio.run(play(chaos, options.seed, place))]
        print("\n".join(campaigns[0].weather.log))
    else:
        campaigns = asyncio.run(play_all(chaos, place, options.runs, options.seed, options.at_once))
    took = time.monotonic() - began
    chaos.wait_for_late()
    found = judge(campaigns)
    outcomes = [each for campaign in campaigns for each in campaign.outcomes]
    kinds = Counter(
        "none" if each.result is None else each.result.error.kind if each.result.error else each.result.status
        for each in outcomes
    )
    print(f"{len(outcomes)} runs in {len(campaigns)} campaigns from seed {options.seed}: {took:.0f} s")
    print(dict(kinds), f"longest {max(each.took for each in outcomes):.1f} s")
    print(f"{len(found)} findings", Counter(line.split(" | ")[0] for line in found))
    for line in sorted(found)[:MOST]:
        print(line[:700])
    return bool(found)
