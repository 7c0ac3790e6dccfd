"""The loads of the comparison: what each system is asked, by its own load generator, and the rate that it tells.

Left out: starting the servers (servers.py), rounds and ratios (compare.py).
"""

import json
import os
import re
import subprocess
from pathlib import Path

from servers import program, run

# A request id and an account: if the id is known, the answer that was given; otherwise the money moves and the answer is
# kept, in one step. The last digits of the id choose the account, since redis-benchmark knows one range of random numbers.
LUA = """
local told = redis.call('GET', KEYS[1])
if told then return told end
local balance = redis.call('INCRBY', 'account:' .. string.sub(KEYS[1], -4), ARGV[1])
redis.call('SET', KEYS[1], balance)
return balance
"""

# The same in one statement: a request that is known moves nothing and is told its answer.
SQL = r"""
\set request random(1, 9000000000000000000)
\set account random(0, {last})
with moved as (
    update account set balance = balance + 1 where id = :account and not exists (select from request where id = :request)
    returning balance
), kept as (
    insert into request select :request, balance from moved returning balance
)
select balance from kept union all select balance from request where id = :request;
"""


def bankd(bank, connections, depth, seconds, mix="deposits=1", run_length=1):
    words = [bank.exe, "bench", "run", "--server", bank.address, "--teller", "bench", "--token-file", bank.token, "--json"]
    words += ["--connections", connections, "--depth", depth, "--run", run_length, "--mix", mix]
    words += ["--accounts", bank.accounts, "--warm-up", seconds / 5, "--duration", seconds]
    told = json.loads(run(words))
    # Finished segments are compressed in the background, for some seconds after such a load.
    bank.settle()
    return {"rate": told["per_second"], "p50": told["latency_us"]["p50"], "p99": told["latency_us"]["p99"], "generator_busy": told["generator_busy"]}


def redis(server, connections, depth, seconds, guess, words):
    """redis-benchmark counts requests, not seconds: `guess` is the rate that the last round had."""
    count = max(int(guess * seconds), connections * depth)
    command = [program("redis-benchmark"), "-h", "127.0.0.1", "-p", server.port, "-c", connections, "-P", depth, "-n", count, "--csv"]
    line = run([*command, *words]).strip().splitlines()[-1]
    _, rate, _, _, p50, _, p99, _ = [field.strip('"') for field in line.rsplit('","', 7)]
    return {"rate": float(rate), "p50": float(p50) * 1e3, "p99": float(p99) * 1e3}


def redis_incrby(server, accounts, connections, depth, seconds, guess):
    return redis(server, connections, depth, seconds, guess, ["-r", accounts, "INCRBY", "account:__rand_int__", "1"])


def redis_lua(server, connections, depth, seconds, guess):
    script = run([*server.cli, "script", "load", LUA]).strip()
    return redis(server, connections, depth, seconds, guess, ["-r", 1_000_000_000, "EVALSHA", script, 1, "request:__rand_int__", 1])


def postgres(server, accounts, clients, seconds):
    script = Path(server.process.args[2]).parent / "statement.sql"
    script.write_text(SQL.format(last=accounts - 1))
    words = [server.bin / "pgbench", *server.connect, "-n", "-M", "prepared", "-f", script, "-c", clients, "-j", 2, "-T", max(int(seconds), 1), "postgres"]
    told = run(words)
    failed = re.search(r"number of failed transactions: (\d+)", told)
    assert failed is None or failed[1] == "0", told
    return {"rate": float(re.search(r"tps = ([0-9.]+)", told)[1]), "p50": None, "p99": None}


def tigerbeetle(directory, accounts, clients, batch, transfers):
    """Its own benchmark, which starts a replica of its own in `directory` and ends it."""
    words = [os.environ["TIGERBEETLE"], "benchmark", f"--account-count={accounts}", f"--transfer-count={transfers}"]
    words += [f"--clients={clients}"]
    # The option's name differs between versions.
    named = [f"--transfer-batch-count={batch}", f"--transfer-batch-size={batch}"]
    for option in named:
        done = subprocess.run([*words, option], cwd=directory, capture_output=True, text=True)
        if "unexpected argument" not in done.stderr:
            break
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    return {"rate": float(re.search(r"load accepted = ([0-9]+) tx/s", told)[1]), "p50": None, "p99": None}


def tigerbeetle_version():
    return run([os.environ["TIGERBEETLE"], "version"]).strip()
