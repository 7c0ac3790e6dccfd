#!/usr/bin/env python3
"""Makes docs/performance.md, its charts and the README's table of what benches/compare/run has measured.

    page.py RESULTS            writes them
    page.py RESULTS --check    says whether they are what it would write

RESULTS holds machine.json, end_to_end.jsonl, cost.jsonl and compare.json. No figure comes from anywhere else.
Left out: measuring.
"""

import json
import re
import sys
from pathlib import Path

import chart

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "docs" / "performance"

TITLES = {
    "alone": "One connection, one deposit at a time",
    "terminals": "64 connections, one deposit at a time each",
    "crowd": "1,000 connections, one deposit at a time each",
    "deposits": "Pipelined deposits: 16 connections, 256 in flight each, 10 thousand accounts",
    "transfers": "Pipelined transfers between random accounts: 16 x 256",
    "runs": "Runs of 128 transfers a frame: 16 x 1,024",
    "large": "Pipelined deposits, 10 million accounts",
    "recovery": "A start over the log of a pipelined load, without a checkpoint",
    "tail": "Open loop at half load, 64 connections, while segments are switched and checkpoints made",
    "memory": "Memory",
    "sessions": "Memory of sessions",
    "log": "Log",
    "processor": "Processor time of the daemon a command, all threads, system calls included",
    "startup": "Start, from the start of the process until it is ready, 10 thousand accounts",
}

# Why a target is missed, as far as it is known.
WHY = {
    "Redis INCRBY 50 x 100": "The limit is the round trip with 4,096 in flight, not the processor: two batches of 2,000 share them, a bare write + "
    "fdatasync of such a batch alone would allow 8.9 million commands a second, and before the next the answers must reach the generator and its "
    "requests must come back. The daemon's main thread is busy for about half of the time. With 8,192 in flight (16 x 512) the same program "
    "reaches the rate in the row \"16 x 512\".",
    "tail": "Taken apart by the scheduler's events: no commit waits behind another request of the daemon's for the disk. What is left is the wait "
    "for a processor, for daemon and generator alike: 2 to 4 ms, about once a second, behind a thread of the machine's own, the same behind "
    "the kernel's memory monitor, and 1 to 2 ms behind the thread that makes checkpoints, which the scheduler lets finish its slice. Giving "
    "that one the idle class by hand changed nothing (p99.9 3.9 ms, 4 runs each).",
}

# The rows of the README's table: what each says, and which figure it is. A scenario's figure, or a pair of loads.
README = [
    ("median latency of one client, relative to a bare 4 KiB write + fdatasync", ("alone", "p50 / bare write + fdatasync")),
    ("rate of 64 clients with one request in flight each, relative to Redis INCRBY with `appendfsync always`", ("bankd 64 x 1", "Redis INCRBY 64 x 1")),
    ("the same, relative to PostgreSQL with one exactly-once statement a request", ("bankd 64 x 1", "PostgreSQL exactly-once 64 x 1")),
    ("rate of 16 clients with 256 transfers in flight each, relative to TigerBeetle in batches of 8,189", ("bankd 16 x 256 transfers", "TigerBeetle batch 8,189")),
]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def span(entry):
    return f"{number(entry['low'])} to {number(entry['high'])}" if entry["rounds"] > 1 else ""


def targets(entry):
    if "target" not in entry:
        return "", ""
    [(kind, bound)] = entry["target"].items()
    return f"{kind} {bound:g}", "yes" if entry["reached"] else "**no**"


def scenario_tables(entries):
    out, last = [], None
    for entry in entries:
        if entry["scenario"] != last:
            last = entry["scenario"]
            out += [f"\n### {TITLES[last]}\n", "| | Median | Rounds | Target | Reached |", "|---|---|---|---|---|"]
        target, reached = targets(entry)
        unit = entry.get("unit", "")
        out.append(f"| {entry['what']} | {number(entry['median'])} {unit} | {span(entry)} | {target} | {reached} |")
    return out


def cost_tables(entries):
    out, last = [], None
    for entry in entries:
        if entry["scenario"] != last:
            last = entry["scenario"]
            out += [f"\n### {TITLES[last]}\n", "| | | Rounds |", "|---|---|---|"]
        out.append(f"| {entry['what']} | {number(entry['median'])} {entry['unit']} | {span(entry)} |")
    return out


def comparison_tables(compare):
    out = ["| bankd | Against | Median of ratios | Rounds | Target | Reached |", "|---|---|---|---|---|---|"]
    for entry in compare["ratios"]:
        front = f"| {entry['ours'].removeprefix('bankd ')} | {entry['theirs']} |"
        bound = "" if entry["target"] is None else f"at least {entry['target']:g}x"
        if "median" not in entry:
            out.append(f"{front} not measured | | {bound} | |")
            continue
        reached = "" if entry["target"] is None else "yes" if entry["median"] >= entry["target"] else "**no**"
        out.append(f"{front} {entry['median']:.2f}x | {entry['low']:.2f} to {entry['high']:.2f} | {bound} | {reached} |")
    out += ["\nThe median rates. They hold for this machine only:\n", "| Load | A second | p50 in us | p99 in us |", "|---|---|---|---|"]
    middle = lambda samples, name: sorted(sample[name] for sample in samples)[len(samples) // 2]
    for name, samples in compare["samples"].items():
        cells = [number(middle(samples, part)) if samples[0][part] is not None else "" for part in ("rate", "p50", "p99")]
        out.append(f"| {name} | {' | '.join(cells)} |")
    return out


def charts(compare, cost):
    """The charts by their files."""
    bars = [(f"{entry['ours'].removeprefix('bankd ')} / {entry['theirs']}", entry["median"], entry["low"], entry["high"], entry["target"]) for entry in compare["ratios"] if "median" in entry]
    against = chart.ratios("Rate of bankd against the rate of others", bars)
    series = {"with checkpoints": [], "without checkpoints": []}
    for entry in cost:
        if entry["scenario"] == "startup":
            length, kind = entry["what"].split(": ")
            series[kind].append((float(length.split()[0]), entry["median"]))
    drawn = chart.lines("Start-up time by the length of the log", "million entries in the log", "seconds until ready", list(series.items()))
    return {CHARTS / "against.svg": against, CHARTS / "startup.svg": drawn}


def not_reached(compare, end_to_end):
    out = []
    for entry in compare["ratios"]:
        if entry["target"] and "median" in entry and entry["median"] < entry["target"]:
            out.append(f"- {entry['ours']} against {entry['theirs']}: {entry['median']:.2f}x of {entry['target']:g}x. {WHY.get(entry['theirs'], '')}".rstrip())
    for entry in end_to_end:
        if entry.get("reached") is False:
            out.append(f"- {TITLES[entry['scenario']]}, {entry['what']}: {number(entry['median'])}, target {targets(entry)[0]}. {WHY.get(entry['scenario'], '')}".rstrip())
    return out or ["- None of those that were measured."]


def release(version):
    """A development build of TigerBeetle reports a placeholder as its version, and its commit behind it."""
    return re.sub(r"version 65535\.0\.0\+([0-9a-f]+)", r"at commit `\1`", version)


def page(machine, compare, end_to_end, cost):
    versions = "; ".join(release(version) for version in compare["versions"].values())
    left_out = "".join(f" {name} was not measured: {why}." for name, why in compare["missing"].items())
    parts = [
        "# Performance\n",
        "This page holds measurements of one bankd daemon: the rate and the latency of money requests that are each synced to disk before they "
        "are answered, beside the bare disk, the bare loopback and other systems; then memory, log bytes, processor time and start-up time.\n",
        f"The processor is {machine['processor']} ({machine['processors']} processors), with {machine['memory']} of memory, "
        f"Linux {machine['kernel']} and {machine['file_system']}. The daemon, the load generator and every other system share the "
        f"{machine['processors']} processors, and other work runs on the machine at the same time. So read the ratios: each compares loads that "
        "ran next to each other. A figure is the median of the rounds; the column \"Rounds\" holds the least and the most.\n",
        "A load is named *connections x requests in flight on each*. \"16 x 256\" is 16 connections with 256 requests in flight on each, 4,096 in "
        "all. \"64 x 1\" is 64 connections that each wait for an answer before the next request.\n",
        f"Measured on {machine['date']} at commit `{machine['commit']}`. Versions: {versions}.{left_out} "
        "`benches/compare/run` makes this page from `docs/performance/results`; do not edit it.\n",
        "## Against other systems\n",
        f"Measured at commit `{compare['commit']}`.\n",
        "Every system writes to the same disk and listens on 127.0.0.1. Each other system is driven by its own load "
        "generator (redis-benchmark, pgbench, tigerbeetle benchmark). `benches/compare/loads.py` holds the exact loads.\n",
        "- *bankd*: numbered deposits to 10 thousand accounts, answered from the synced log, exactly once.",
        "- *Redis INCRBY*: `appendfsync always`, INCRBY on one of 10 thousand keys. A repeated request counts twice.",
        "- *Redis exactly-once Lua*: the same, by a script that keeps each request's answer under its id.",
        "- *PostgreSQL exactly-once*: Debian's configuration, `fsync` and `synchronous_commit` on; one prepared statement moves the money and "
        "keeps the answer under the request's id.",
        "- *TigerBeetle*: transfers in batches of 1 from 32 clients, or of 8,189 from one.\n",
        "![Rate of bankd against others](performance/against.svg)\n",
        *comparison_tables(compare),
        "\n## Missed targets\n",
        *not_reached(compare, end_to_end),
        "\n## End to end\n",
        "`cargo bench --bench end_to_end`. \"Bare write + fdatasync\" is a 4 KiB write and an fdatasync into a file of zeros on the same "
        "disk. \"Bare loopback\" is the same bytes each way between two poll loops that do not read them. The time that the daemon waits for "
        "the disk is sampled: the share of samples, every few milliseconds, in which its thread was in a write or a sync.",
        *scenario_tables(end_to_end),
        "\n## Cost\n",
        "`cargo bench --bench cost`. Everything written includes the zeros that segments are filled with ahead of their use, and "
        "checkpoints. There are no free-form keys yet, so there is no figure for one.",
        *cost_tables(cost),
        "\n![Start-up time by the length of the log](performance/startup.svg)\n",
        "## To measure it again\n",
        "```sh\nbenches/compare/install   # Redis 7 and PostgreSQL 15, from Debian\nbenches/compare/run       # everything, and this page\n```\n",
        "[benches/compare/README.md](../benches/compare/README.md) describes the parts. [benchmarks.md](benchmarks.md) holds the figures of the other benchmarks.\n",
    ]
    return "\n".join(parts)


def readme_table(compare, end_to_end):
    rows = []
    find = lambda scenario, what: next(entry for entry in end_to_end if (entry["scenario"], entry["what"]) == (scenario, what))
    ratios = {(entry["ours"], entry["theirs"]): entry for entry in compare["ratios"] if "median" in entry}
    for words, pair in README:
        if pair in ratios:
            rows.append(f"| {words} | {ratios[pair]['median']:.1f}x |")
        elif pair[0] in TITLES:
            rows.append(f"| {words} | {number(find(*pair)['median'])}x |")
    small, large = (number(find("memory", what)["median"]) for what in ("idle, 4 accounts: MiB", "1 million accounts: MiB"))
    rows.append(f"| resident memory: idle; with a million accounts | {small} MiB; {large} MiB |")
    return "\n".join(rows)


def with_table(readme, table):
    block = re.compile(r"(<!-- made by benches/compare/run -->\n).*?(<!-- end -->)", re.S)
    assert block.search(readme), "the README has no place for the table"
    return block.sub(lambda found: f"{found[1]}\n| | |\n|---|---|\n{table}\n\n{found[2]}", readme)


def main():
    results = Path(sys.argv[1])
    machine, compare = (json.loads((results / name).read_text()) for name in ("machine.json", "compare.json"))
    end_to_end, cost = (read(results / name) for name in ("end_to_end.jsonl", "cost.jsonl"))
    made = charts(compare, cost)
    made[ROOT / "docs" / "performance.md"] = page(machine, compare, end_to_end, cost)
    made[ROOT / "README.md"] = with_table((ROOT / "README.md").read_text(), readme_table(compare, end_to_end))
    if "--check" in sys.argv[2:]:
        others = [str(path) for path, words in made.items() if not path.exists() or path.read_text() != words]
        sys.exit(f"not what was measured: {', '.join(others)}; run benches/compare/run page" if others else 0)
    for path, words in made.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(words)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
