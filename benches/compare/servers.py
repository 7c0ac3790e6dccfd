"""The servers of the comparison: each in a directory of its own, on 127.0.0.1, ended by its process id.

Left out: loads (loads.py), rounds (compare.py).
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PATIENCE = 60


class Missing(Exception):
    """A program that is not installed."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def program(*names):
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise Missing(f"{names[0]} is not installed; benches/compare/install installs it")


def run(words, **more):
    """Runs a program to its end and gives what it printed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Server:
    """A process, ended at the end."""

    def __init__(self, words, signal_to_end=signal.SIGTERM, **more):
        self.signal_to_end = signal_to_end
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, **more)

    def wait_for(self, is_ready):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args[0]} ended at once with exit code {self.process.returncode}")
            if is_ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.process.args[0]} is not ready after {PATIENCE} s")

    def settle(self):
        """Waits until it uses no processor any more: work that it puts off must not be paid by whoever is measured next."""
        until, before = time.monotonic() + PATIENCE, self.ticks()
        while time.monotonic() < until:
            time.sleep(0.25)
            after = self.ticks()
            if after - before <= 1:
                return
            before = after

    def ticks(self):
        """Processor time so far, in hundredths of a second."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(self.signal_to_end)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Bankd(Server):
    """A bank with accounts that do not run dry, and a teller."""

    NAME = "bankd"

    def __init__(self, exe, directory, accounts):
        self.exe, self.accounts = exe, accounts
        directory.mkdir()
        listing, self.token, store = directory / "accounts.csv", directory / "token", directory / "store"
        self.token.write_text("a token for the comparison\n")
        self.token.chmod(0o600)
        with listing.open("w") as out:
            out.write("kind,name,secret,balance\nteller,bench,a token for the comparison,\n")
            for account in range(accounts):
                out.write(f"account,account {account},2718281828,100000000000\n")
        run([exe, "init", "--data-dir", store, "--accounts", listing])
        words = [exe, "serve", "--data-dir", store, "--listen", "127.0.0.1:0", "--log-level", "warn"]
        super().__init__(words, stdout=subprocess.PIPE, text=True)
        # The first line comes when it is ready.
        self.address = self.process.stdout.readline().removeprefix("ready native ").strip()

    def version(self):
        return run([self.exe, "--version"]).strip()


class Redis(Server):
    """Redis with an append-only file that is synced before each answer."""

    NAME = "Redis"

    def __init__(self, directory):
        directory.mkdir()
        self.port = free_port()
        # Debian's package of the tools holds the server's program under another name, and without its service.
        server = directory / "redis-server"
        server.symlink_to(program("redis-server", "redis-check-rdb"))
        self.cli = [program("redis-cli"), "-h", "127.0.0.1", "-p", str(self.port)]
        words = [server, "--port", self.port, "--bind", "127.0.0.1", "--dir", directory, "--appendonly", "yes"]
        words += ["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--save", "", "--daemonize", "no"]
        super().__init__(words, stdout=subprocess.DEVNULL)
        self.wait_for(lambda: subprocess.run([*self.cli, "ping"], capture_output=True, check=False).stdout == b"PONG\n")
        settings = run([*self.cli, "config", "get", "appendfsync"]).split()
        assert settings == ["appendfsync", "always"], settings

    def version(self):
        info = run([*self.cli, "info", "server"])
        return "Redis " + next(line.split(":")[1].strip() for line in info.splitlines() if line.startswith("redis_version"))


class Postgres(Server):
    """A cluster of its own with everything as Debian ships it: fsync and synchronous_commit on."""

    NAME = "PostgreSQL"

    def __init__(self, directory, accounts):
        self.bin = Path("/usr/lib/postgresql/15/bin")
        if not (self.bin / "postgres").exists():
            raise Missing("PostgreSQL 15 is not installed; benches/compare/install installs it")
        directory.mkdir()
        # It refuses to run as root.
        self.user = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)
            self.user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.port = free_port()
        data = directory / "data"
        run([self.bin / "initdb", "-D", data, "-A", "trust", "-U", "bench", "--no-instructions"], cwd=directory, **self.user)
        words = [self.bin / "postgres", "-D", data, "-h", "127.0.0.1", "-p", self.port, "-k", directory, "-c", "log_min_messages=error"]
        # A fast end: sessions are broken off, everything is written.
        with (directory / "log").open("wb") as log:
            super().__init__(words, signal.SIGINT, stdout=log, stderr=log, cwd=directory, **self.user)
        self.connect = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "bench"]
        ready = [self.bin / "pg_isready", "-q", *self.connect]
        self.wait_for(lambda: subprocess.run(ready, check=False).returncode == 0)
        settings = self.sql("select current_setting('fsync') || current_setting('synchronous_commit')").strip()
        assert settings == "onon", settings
        self.sql("create table account (id int primary key, balance bigint not null)")
        self.sql("create table request (id bigint primary key, balance bigint not null)")
        self.sql(f"insert into account select n, 0 from generate_series(0, {accounts - 1}) n")
        self.sql("vacuum analyze")

    def sql(self, text):
        return run([self.bin / "psql", *self.connect, "-d", "postgres", "-X", "-q", "-t", "-A", "-c", text])

    def version(self):
        return run([self.bin / "postgres", "--version"]).strip().replace("postgres (PostgreSQL)", "PostgreSQL")
