"""Play many campaigns: `python -m tests.client.chaos --runs 10000 --seed 1`."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from comfykit_jupyter.client.backends.comfyui import follow
from comfykit_jupyter.client.running import submission
from comfykit_jupyter.sandbox import Sandbox
from tests.client.chaos.campaign import Campaign, HardPlace, LateLog, Place, Record, judge
from tests.client.chaos.command import build_parser, play_and_report
from tests.client.chaos.faults import Chaos

SERVERS = 4


def main() -> int:
    """Play the campaigns that the command line asks for."""
    parser = build_parser(__doc__, 10_000)
    parser.add_argument("--hard", action="store_true", help="with many cancellations, and more answers that are lost")
    options = parser.parse_args()
    # runs that wait for each other's answers, or trust a socket that loses messages, would hide a run that hangs
    submission.TURN, follow.WATCH_QUIET = 2.0, 2.0
    log = LateLog()
    logging.getLogger("comfykit_jupyter").addHandler(log)
    logging.getLogger("comfykit_jupyter").propagate = False
    with ExitStack() as stack:
        servers = [stack.enter_context(Sandbox()) for _ in range(SERVERS)]
        chaos = stack.enter_context(Chaos(*(server.url for server in servers)))

        def judge_all(campaigns: list[Campaign]) -> list[str]:
            records, late = {server.url: Record(server.url) for server in servers}, "\n".join(log.lines)
            return [line for each in campaigns for line in judge(each, records[each.target], late)]

        place = HardPlace() if options.hard else Place()
        return play_and_report(chaos, place, options, judge_all)


if __name__ == "__main__":
    raise SystemExit(main())
