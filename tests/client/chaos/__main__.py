"""Play many campaigns: `python -m tests.client.chaos --runs 10000 --seed 1`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from contextlib import ExitStack

from comfykit_jupyter.client.running import submission
from comfykit_jupyter.sandbox import Sandbox
from tests.client.chaos.campaign import Campaign, LateLog, Place, Record, judge, play
from tests.client.chaos.faults import Chaos

AT_ONCE = 20
SERVERS = 4
MOST = 60
"""Findings that are printed."""


async def play_all(chaos: Chaos, place: Place, runs: int, first: int, at_once: int) -> list[Campaign]:
    """Play campaigns until there are so many runs."""
    campaigns: list[Campaign] = []
    seeds = iter(range(first, sys.maxsize))

    async def work() -> None:
        while sum(len(each.told) for each in campaigns) < runs:
            campaigns.append(await play(chaos, next(seeds), place))

    await asyncio.gather(*(work() for _ in range(at_once)))
    return campaigns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", action="store_true", help="play the campaign of the seed, and print its log")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    options = parser.parse_args()
    submission.TURN = 2.0  # runs that wait for each other's answers would hide how long an answer may take
    log = LateLog()
    logging.getLogger("comfykit_jupyter").addHandler(log)
    logging.getLogger("comfykit_jupyter").propagate = False
    with ExitStack() as stack:
        servers = [stack.enter_context(Sandbox()) for _ in range(SERVERS)]
        chaos = stack.enter_context(Chaos(*(server.url for server in servers)))
        began = time.monotonic()
        if options.only:
            campaigns = [asyncio.run(play(chaos, options.seed, Place()))]
            print("\n".join(campaigns[0].weather.log))
        else:
            campaigns = asyncio.run(play_all(chaos, Place(), options.runs, options.seed, options.at_once))
        took = time.monotonic() - began
        chaos.wait_for_late()
        late = "\n".join(log.lines)
        records = {server.url: Record(server.url) for server in servers}
        found = [line for each in campaigns for line in judge(each, records[each.target], late)]
        told = [each for campaign in campaigns for each in campaign.told]
        kinds = Counter(
            "none" if each.result is None else each.result.error.kind if each.result.error else each.result.status
            for each in told
        )
    print(f"{len(told)} runs in {len(campaigns)} campaigns from seed {options.seed}: {took:.0f} s")
    print(dict(kinds), f"longest {max(each.took for each in told):.1f} s")
    print(f"{len(found)} findings", Counter(line.split(" | ")[0] for line in found))
    for line in sorted(found)[:MOST]:
        print(line[:700])
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
