#!/usr/bin/env python3
"""bankd beside Redis, PostgreSQL and TigerBeetle: interleaved rounds on one disk, medians of ratios, one table.

    compare.py --bankd target/release/bankd [--rounds 5] [--seconds 4] [--dir DIR] [--results FILE]

Left out: what each is asked (loads.py), the servers (servers.py), the page (page.py).
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import loads
from servers import Bankd, Missing, Postgres, Redis, run

ACCOUNTS = 10_000
# The device may still be busy with what a load has removed (file systems mounted with `discard`), seconds.
SETTLE = 3
# A scenario of bankd, the other system's, and by how much bankd should be faster.
TARGETS = [
    ("bankd 1 x 1", "Redis INCRBY 1 x 1", 1.2),
    ("bankd 64 x 1", "Redis INCRBY 64 x 1", 1.5),
    ("bankd 64 x 1", "Redis exactly-once Lua 64 x 1", 2.4),
    ("bankd 64 x 1", "PostgreSQL exactly-once 64 x 1", 6.0),
    ("bankd 64 x 1", "TigerBeetle batch 1, 32 clients", 40.0),
    ("bankd 16 x 256", "TigerBeetle batch 8,189", 9.0),
    ("bankd 16 x 256 transfers", "TigerBeetle batch 8,189", 7.0),
    ("bankd 16 x 1,024 transfers, 128 a frame", "TigerBeetle batch 8,189", 25.0),
    ("bankd 16 x 256", "Redis INCRBY 50 x 100", 8.0),
    ("bankd 16 x 256", "Redis exactly-once Lua 50 x 100", None),
    ("bankd 16 x 512", "Redis INCRBY 50 x 100", None),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Comparison:
    def __init__(self, args, directory):
        self.exe, self.seconds, self.directory = args.bankd, args.seconds, directory
        self.servers, self.missing, self.samples = {}, {}, {}

    def start_all(self):
        self.start(Bankd, self.exe, self.directory / "bankd", ACCOUNTS)
        self.start(Redis, self.directory / "redis")
        self.start(Postgres, self.directory / "postgres", ACCOUNTS)
        if not os.environ.get("TIGERBEETLE"):
            self.missing["TigerBeetle"] = "the environment variable TIGERBEETLE names no binary"

    def start(self, kind, *args):
        try:
            self.servers[kind.NAME] = kind(*args)
        except Missing as error:
            say(f"{kind.NAME} is left out: {error}")
            self.missing[kind.NAME] = str(error)

    def end(self):
        for server in self.servers.values():
            server.end()

    def guess(self, name, first):
        """The last rate of a load that must be told how many requests it is to send."""
        return self.samples[name][-1]["rate"] if name in self.samples else first

    def loads(self):
        """Every load by name, in the order of a round: whoever is compared runs close together."""
        bank, seconds = self.servers["bankd"], self.seconds
        yield "bankd 1 x 1", lambda: loads.bankd(bank, 1, 1, seconds)
        if redis := self.servers.get("Redis"):
            incrby = lambda name, connections, depth, first: loads.redis_incrby(redis, ACCOUNTS, connections, depth, seconds, self.guess(name, first))
            lua = lambda name, connections, depth, first: loads.redis_lua(redis, connections, depth, seconds, self.guess(name, first))
            yield "Redis INCRBY 1 x 1", lambda: incrby("Redis INCRBY 1 x 1", 1, 1, 3000)
            yield "Redis INCRBY 64 x 1", lambda: incrby("Redis INCRBY 64 x 1", 64, 1, 40_000)
        yield "bankd 64 x 1", lambda: loads.bankd(bank, 64, 1, seconds)
        if redis:
            yield "Redis exactly-once Lua 64 x 1", lambda: lua("Redis exactly-once Lua 64 x 1", 64, 1, 30_000)
        if postgres := self.servers.get("PostgreSQL"):
            yield "PostgreSQL exactly-once 64 x 1", lambda: loads.postgres(postgres, ACCOUNTS, 64, seconds)
        if os.environ.get("TIGERBEETLE"):
            yield "TigerBeetle batch 1, 32 clients", lambda: loads.tigerbeetle(self.directory, ACCOUNTS, 32, 1, int(3000 * seconds))
            yield "TigerBeetle batch 8,189", lambda: loads.tigerbeetle(self.directory, ACCOUNTS, 1, 8189, int(600_000 * seconds))
        yield "bankd 16 x 256", lambda: loads.bankd(bank, 16, 256, seconds)
        yield "bankd 16 x 512", lambda: loads.bankd(bank, 16, 512, seconds)
        if redis:
            yield "Redis INCRBY 50 x 100", lambda: incrby("Redis INCRBY 50 x 100", 50, 100, 300_000)
            yield "Redis exactly-once Lua 50 x 100", lambda: lua("Redis exactly-once Lua 50 x 100", 50, 100, 100_000)
        yield "bankd 16 x 256 transfers", lambda: loads.bankd(bank, 16, 256, seconds, "transfers=1")
        yield "bankd 16 x 1,024 transfers, 128 a frame", lambda: loads.bankd(bank, 16, 1024, seconds, "transfers=1", 128)

    def rounds(self, count):
        for number in range(count):
            # Forwards and backwards in turn, so that nobody always comes first.
            order = list(self.loads())
            for name, load in order if number % 2 == 0 else reversed(order):
                # What the last one wrote and removed is not this one's to wait for.
                os.sync()
                time.sleep(SETTLE)
                sample = load()
                self.samples.setdefault(name, []).append(sample)
                say(f"round {number + 1} of {count}: {name}: {sample['rate']:,.0f}/s")

    def result(self):
        ratios = []
        for ours, theirs, target in TARGETS:
            pairs = zip(self.samples[ours], self.samples.get(theirs, []))
            found = [one["rate"] / other["rate"] for one, other in pairs]
            entry = {"ours": ours, "theirs": theirs, "target": target, "ratios": found}
            if found:
                entry |= {"median": statistics.median(found), "low": min(found), "high": max(found)}
            ratios.append(entry)
        versions = {name: server.version() for name, server in self.servers.items()}
        if os.environ.get("TIGERBEETLE"):
            versions["TigerBeetle"] = loads.tigerbeetle_version()
        commit = run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent).strip()
        return {"commit": commit, "versions": versions, "missing": self.missing, "seconds": self.seconds, "samples": self.samples, "ratios": ratios}


def table(result):
    """What the ratios say, a line each."""
    lines = [f"{'bankd':<42} {'against':<34} {'median':>7} {'from':>7} {'to':>7}  target"]
    for entry in result["ratios"]:
        front = f"{entry['ours'].removeprefix('bankd '):<42} {entry['theirs']:<34}"
        bound = "none" if entry["target"] is None else f"{entry['target']:g}x"
        if "median" not in entry:
            lines.append(f"{front} {'not measured':>23}  {bound}")
            continue
        reached = "" if entry["target"] is None else ": reached" if entry["median"] >= entry["target"] else ": NOT reached"
        lines.append(f"{front} {entry['median']:>6.2f}x {entry['low']:>6.2f}x {entry['high']:>6.2f}x  {bound}{reached}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bankd", required=True, type=lambda path: Path(path).resolve())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--dir", help="where the stores go, on a real disk", default=None)
    parser.add_argument("--results", help="a JSON file of everything measured", type=Path)
    args = parser.parse_args()
    # Whoever ends the comparison ends its servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="bankd-compare-", dir=args.dir) as name:
        directory = Path(name)
        # PostgreSQL runs as a user of its own and must reach its directory.
        directory.chmod(0o755)
        comparison = Comparison(args, directory)
        try:
            comparison.start_all()
            comparison.rounds(args.rounds)
            result = comparison.result()
        finally:
            comparison.end()
    if args.results:
        args.results.write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(table(result)))


if __name__ == "__main__":
    main()
