#!/usr/bin/env python3
"""Tries the release binary from outside, by a client of its own, with the cases that once stopped or misled it.

    BANKD=target/release/bankd python3 tests/outside.py [CASE...]

Prints one line a case and ends with 1 if any failed. Needs the standard library only; what needs root says when it is skipped.
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

BANKD = os.path.abspath(os.environ.get("BANKD", "target/release/bankd"))
REFUSED = 15
CASES = []


def case(function):
    CASES.append(function)
    return function


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def frame(message):
    return struct.pack("<II", len(message), zlib.crc32(message)) + message


HELLO = frame(struct.pack("<II", 0, 1))


def login(role, name, secret):
    return frame(struct.pack("<II", 1, role) + text(name) + text(secret))


OPEN = frame(struct.pack("<I", 2))
LIST = frame(struct.pack("<I", 9))
PING = frame(struct.pack("<I", 15))


def deposit(number, account, units):
    return frame(struct.pack("<IQQIIQ", 4, number, number, 0, account, units))


def prime(digits):
    return frame(struct.pack("<I", 13) + text(digits))


class Peer:
    """A raw connection."""

    def __init__(self, address, unix=False):
        if unix:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout=60)
        self.socket.settimeout(60)

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def reply(self):
        length, _ = struct.unpack("<II", self.read(8))
        payload = self.read(length)
        return struct.unpack("<I", payload[:4])[0], payload[4:]

    def greet(self):
        self.send(HELLO)
        assert self.reply()[0] == 0
        return self

    def customer(self, name="Sami", pin="1234"):
        self.greet()
        self.send(login(0, name, pin))
        kind, fields = self.reply()
        assert kind == 1, f"login refused: {kind} {fields!r}"
        self.account = struct.unpack("<II", fields)[1]
        return self

    def open(self):
        self.send(OPEN)
        kind, fields = self.reply()
        assert kind == 2, f"no session: {kind} {fields!r}"
        self.number = 0
        return fields[:16]

    def deposit(self, units=1):
        self.number += 1
        self.send(deposit(self.number, self.account, units))
        kind, fields = self.reply()
        assert kind == 3, f"no answer: {kind} {fields!r}"

    def close(self):
        self.socket.close()


class Store:
    """A demo store in a temporary directory, and the daemon on it."""

    def __init__(self, parent=None):
        self.root = tempfile.mkdtemp(prefix="outside-", dir=parent)
        self.data = os.path.join(self.root, "store")
        self.pin = os.path.join(self.root, "pin")
        with open(self.pin, "w") as file:
            file.write("1234\n")
        os.chmod(self.pin, 0o600)
        self.daemon = None

    def serve(self, *args, prefix="", wait=True, data=None):
        self.log = open(os.path.join(self.root, "log"), "ab")
        command = f'{prefix} exec {BANKD} serve --demo --listen 127.0.0.1:0 --data-dir {data or self.data} ' + " ".join(args)
        self.daemon = subprocess.Popen(["bash", "-c", command], cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        self.ports = {}
        want = 4 if "--lab" in args else 1
        while wait and len(self.ports) < want:
            line = self.daemon.stdout.readline().decode()
            if not line:
                raise SystemError(f"the daemon ended with {self.daemon.wait()}: {self.said()[-500:]}")
            _, name, address = line.split()[:3]
            host, port = address.rsplit(":", 1)
            self.ports[name] = (host, int(port))
        return self

    @property
    def address(self):
        return self.ports["native"]

    @property
    def server(self):
        return "%s:%d" % self.address

    def said(self):
        with open(os.path.join(self.root, "log"), errors="replace") as file:
            return file.read()

    def alive(self):
        return self.daemon.poll() is None

    def memory(self, field="VmHWM"):
        with open(f"/proc/{self.daemon.pid}/status") as file:
            return int(re.search(field + r":\s+(\d+)", file.read()).group(1)) / 1024

    def end(self, sig=signal.SIGTERM):
        if self.daemon and self.alive():
            self.daemon.send_signal(sig)
        return self.daemon.wait(30) if self.daemon else None

    def run(self, *args, stdin=None, cwd=None, env=None, timeout=60, shell=None):
        environment = {**os.environ, "XDG_STATE_HOME": os.path.join(self.root, "state"), **(env or {})}
        command = ["bash", "-c", shell] if shell else [BANKD, *args]
        done = subprocess.run(command, cwd=cwd or self.root, input=stdin, capture_output=True, env=environment, timeout=timeout)
        done.text = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        return done

    def teller(self, *args, **more):
        return self.run(*args, "--server", self.server, "--pin-file", self.pin, **more)

    def remove(self):
        try:
            self.end(signal.SIGKILL)
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def digits(seed=0):
    """A 100-digit prime."""
    n = 10**99 + 289 + 0 * seed
    return str(n)


# Point 1


@case
def max_connections_of_zero_is_refused(store):
    done = store.run("serve", "--demo", "--max-connections", "0", "--data-dir", store.data, "--listen", "127.0.0.1:0", timeout=20)
    check(done.returncode == 2, f"exit {done.returncode}: {done.text}")


@case
def strangers_do_not_take_the_logs_descriptors_at_64(store):
    store.serve(prefix="ulimit -n 64;")
    peers = []
    for _ in range(120):
        try:
            peer = Peer(store.address)
            peer.send(HELLO)
            peers.append(peer)
        except OSError:
            pass
    time.sleep(1)
    for peer in peers[60:]:
        peer.close()
    peers = peers[:60]
    time.sleep(1.5)
    for peer in peers[:6]:
        peer.close()
    time.sleep(0.5)
    depositor = Peer(store.address).customer()
    depositor.open()
    more = []
    for _ in range(70):
        try:
            peer = Peer(store.address)
            peer.send(HELLO)
            more.append(peer)
        except OSError:
            pass
    for _ in range(1200):
        depositor.deposit()
    check(store.alive(), store.said()[-400:])
    check(sum(name.endswith((".seg", ".zst")) for name in os.listdir(store.data)) > 2, "no segment was made")


@case
def strangers_do_not_take_the_logs_descriptors_at_1024(store):
    store.serve(prefix="ulimit -n 1024;")
    depositor = Peer(store.address).customer()
    depositor.open()
    peers = []
    for _ in range(1100):
        try:
            peer = Peer(store.address)
            peer.send(HELLO)
            peers.append(peer)
        except OSError:
            pass
    for _ in range(1200):
        depositor.deposit()
    check(store.alive(), store.said()[-400:])
    check("connections" in store.said(), "no line says what fits")


@case
def a_flood_does_not_lock_the_operator_out(store):
    store.serve("--max-connections", "50")
    peers = [Peer(store.address) for _ in range(200)]
    time.sleep(1.2)
    done = store.run("account", "list", "--data-dir", store.data)
    check(done.returncode == 0 and "Sami" in done.text, done.text)
    lines = store.said().count("\n")
    check(lines < 30, f"{lines} lines of log")
    for peer in peers:
        peer.close()


def honest(store, seconds, rate=200):
    """Worst and median time of a paced depositor, in milliseconds."""
    peer = Peer(store.address).customer("Kader")
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.open()
    times = []
    begin = time.monotonic()
    for index in range(int(seconds * rate)):
        due = begin + index / rate
        now = time.monotonic()
        if now < due:
            time.sleep(due - now)
        peer.deposit()
        times.append((time.monotonic() - due) * 1000)
    times.sort()
    return times[len(times) // 2], times[-1]


@case
def primes_stall_nobody(store):
    store.serve()
    alone = honest(store, 1)
    peers = [Peer(store.address).greet() for _ in range(40)]
    for peer in peers:
        peer.socket.setblocking(False)
        try:
            peer.socket.send(prime(digits()) * 500)
        except BlockingIOError:
            pass
    newcomer = Peer(store.address).customer("Moyeed")
    beside = honest(store, 3)
    print(f"    alone {alone[0]:.2f}/{alone[1]:.2f} ms, beside primes {beside[0]:.2f}/{beside[1]:.2f} ms (median/worst)")
    newcomer.open()
    check(beside[1] < 1000, "stalled")


@case
def pings_and_lists_cost_little_memory(store):
    store.serve()
    honest(store, 1)
    before = store.memory()
    peers = [Peer(store.address).greet() for _ in range(50)]
    for peer in peers:
        peer.socket.setblocking(False)
        for _ in range(40):
            try:
                peer.socket.send(PING * 4000)
            except BlockingIOError:
                pass
    median, worst = honest(store, 2)
    pings = store.memory() - before
    for peer in peers:
        peer.close()
    done = store.run("teller", "add", "Till", "--data-dir", store.data, "--token-stdin", stdin=b"secret-token\n")
    token = b"secret-token"
    if done.returncode != 0:
        path = os.path.join(store.root, "token")
        with open(path, "wb") as file:
            file.write(token)
        os.chmod(path, 0o600)
        done = store.run("teller", "add", "Till", "--data-dir", store.data, "--token-file", path)
    check(done.returncode == 0, done.text)
    tellers = []
    for _ in range(20):
        peer = Peer(store.address).greet()
        peer.send(login(1, "Till", "secret-token"))
        check(peer.reply()[0] == 1, "teller login")
        tellers.append(peer)
    for _ in range(100):
        for peer in tellers:
            peer.send(OPEN)
        for peer in tellers:
            peer.reply()
    before = store.memory()
    for peer in tellers:
        peer.socket.setblocking(False)
        for _ in range(10):
            try:
                peer.socket.send(LIST * 2000)
            except BlockingIOError:
                pass
    median2, worst2 = honest(store, 2)
    lists = store.memory() - before
    print(f"    pings +{pings:.0f} MiB worst {worst:.1f} ms; lists +{lists:.0f} MiB worst {worst2:.1f} ms")
    check(pings < 64 and lists < 64, "memory")


# A full disk


@case
def a_full_disk_is_a_state(store):
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        print("    skipped: it needs root and mkfs.ext4")
        return
    image, mount = os.path.join(store.root, "disk"), os.path.join(store.root, "mount")
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    os.mkdir(mount)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, mount]).returncode != 0:
        print("    skipped: no loop device can be mounted here")
        return
    try:
        store.data = os.path.join(mount, "store")
        store.serve("--no-compress")
        filler = os.path.join(mount, "filler")
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass
        depositor = Peer(store.address).customer()
        depositor.open()
        for number in range(1, 20_000):
            depositor.send(deposit(number, depositor.account, 1))
            kind, fields = depositor.reply()
            if kind == REFUSED:
                break
        check(struct.unpack("<I", fields[:4])[0] == 24, f"refused with {fields!r}")
        depositor.send(frame(struct.pack("<II", 10, depositor.account)))
        check(depositor.reply()[0] == 8, "a balance is read")

        def ticks():
            with open(f"/proc/{store.daemon.pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        time.sleep(1.5)
        before = ticks()
        time.sleep(10)
        share = (ticks() - before) / (10 * os.sysconf("SC_CLK_TCK")) * 100
        print(f"    idle on a full disk: {share:.2f} % of a processor")
        check(share < 1, f"{share} % of a processor")
        check(store.alive(), store.said()[-400:])
        entered = [line for line in store.said().splitlines() if "no space" in line.lower() or "no room" in line.lower()]
        check(len(entered) == 1, "\n".join(entered))
        os.remove(filler)
        began = time.monotonic()
        while time.monotonic() - began < 20:
            depositor.send(deposit(number, depositor.account, 1))
            if depositor.reply()[0] == 3:
                break
            time.sleep(0.05)
        print(f"    served again after {time.monotonic() - began:.2f} s")
        depositor.send(deposit(number, depositor.account, 1))
        check(depositor.reply()[0] == 3, "served again")
        print("    " + "\n    ".join(line[31:] for line in store.said().splitlines()[-2:]))
        check(store.end() == 0, "end")
    finally:
        if store.daemon and store.alive():
            store.end(signal.SIGKILL)
        subprocess.run(["umount", mount])


# Point 3


@case
def a_trailing_slash_does_not_put_the_key_inside(store):
    done = store.run("init", "--data-dir", store.data + "/")
    check(done.returncode == 0, done.text)
    check(not any("key" in name for name in os.listdir(store.data)), os.listdir(store.data))
    check(os.path.exists(store.data + ".key"), os.listdir(store.root))
    inside = store.run("init", "--data-dir", os.path.join(store.root, "s2"), "--key-file", os.path.join(store.root, "s2", "key"))
    check(inside.returncode in (2, 8), f"{inside.returncode} {inside.text}")


@case
def dot_and_symlink_start(store):
    check(store.run("init", "--data-dir", "store").returncode == 0, "init")
    os.symlink(store.data, os.path.join(store.root, "link"))
    for data in ("link", "link/", "./store/", store.data + "/."):
        store.serve(data=data)
        check(store.end() == 0, data)
    for cwd, arg in ((store.data, "."), (store.root, "link")):
        done = store.run("wal", "verify", "--data-dir", arg, cwd=cwd)
        check(done.returncode == 0, f"{arg}: {done.returncode} {done.text}")


@case
def rm_lock_does_not_let_a_second_daemon_start(store):
    store.serve()
    lock = os.path.join(store.data, "LOCK")
    if os.path.exists(lock):
        os.remove(lock)
    done = store.run("serve", "--demo", "--data-dir", store.data, "--listen", "127.0.0.1:0", timeout=20)
    check(done.returncode == 7, f"{done.returncode} {done.text}")


@case
def a_moved_store_is_still_the_daemons(store):
    store.serve()
    depositor = Peer(store.address).customer()
    depositor.open()
    depositor.deposit()
    moved = os.path.join(store.root, "moved")
    os.rename(store.data, moved)
    other = store.run("init", "--data-dir", store.data, "--key-file", os.path.join(store.root, "other.key"))
    check(other.returncode == 0, other.text)
    before = {name: open(os.path.join(store.data, name), "rb").read() for name in sorted(os.listdir(store.data)) if not name.endswith(".sock")}
    for _ in range(1200):
        depositor.deposit()
    after = {name: open(os.path.join(store.data, name), "rb").read() for name in sorted(os.listdir(store.data)) if not name.endswith(".sock")}
    check(before == after, f"the other store changed: {sorted(before)} {sorted(after)}")
    code = store.end()
    check(code == 0, f"ended with {code}: {store.said()[-300:]}")
    done = store.run("wal", "verify", "--data-dir", moved)
    check(done.returncode == 0, done.text)


@case
def a_backup_put_back_gives_no_session_again(store):
    store.serve()
    check(store.end() == 0, "end")
    copy = os.path.join(store.root, "copy")
    shutil.copytree(store.data, copy)
    store.serve()
    lost = []
    peer = Peer(store.address).customer()
    for _ in range(5):
        lost.append(peer.open())
        peer.deposit()
    check(store.end() == 0, "end")
    shutil.rmtree(store.data)
    os.rename(copy, store.data)
    store.serve()
    peer = Peer(store.address).customer()
    new = [peer.open() for _ in range(5)]
    check(not set(new) & set(lost), "a session id was handed out twice")
    peer.send(frame(struct.pack("<I", 3) + lost[0]))
    kind, fields = peer.reply()
    check((kind, struct.unpack("<I", fields[:4])[0]) == (REFUSED, 8), f"{kind} {fields!r}")


@case
def a_journal_by_symlink_and_hard_link_stays_whole(store):
    store.serve()
    journal = os.path.join(store.root, "journal")
    check(store.teller("deposit", "Sami", "1", "--journal", journal).returncode == 0, "deposit")
    os.symlink(journal, os.path.join(store.root, "soft"))
    os.link(journal, os.path.join(store.root, "hard"))
    batch = b"deposit Sami 1\n" * 300
    runs = []
    for name in ("journal", "soft", "hard"):
        command = [BANKD, "batch", "--server", store.server, "--pin-file", store.pin, "--journal", os.path.join(store.root, name)]
        runs.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    for run in runs:
        try:
            run.stdin.write(batch)
            run.stdin.close()
        except BrokenPipeError:
            pass
    codes = []
    for run in runs:
        said = run.stderr.read()
        run.stdout.read()
        codes.append((run.wait(), said[-200:]))
    os.remove(os.path.join(store.root, "hard"))
    for name in ("journal", "soft"):
        done = store.teller("deposit", "Sami", "1", "--journal", os.path.join(store.root, name))
        check(done.returncode == 0, f"{name}: {done.returncode} {done.text} {codes}")
    check(os.path.islink(os.path.join(store.root, "soft")), "the link is a file now")


# Point 4


def codes(store, data):
    """Exit codes of every judge of a store."""
    result = {}
    for name, args in (
        ("verify", ["wal", "verify"]),
        ("stat", ["wal", "stat"]),
        ("dump", ["wal", "dump"]),
        ("repair", ["wal", "repair", "--dry-run"]),
        ("explain", ["explain", "0000000000000001-1/1"]),
        ("snapshot", ["snapshot", os.path.join(store.root, "snap-%d" % time.time_ns())]),
    ):
        done = store.run(*args, "--data-dir", data, timeout=60)
        result[name] = (done.returncode, done.text.strip()[-160:])
    command = [BANKD, "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--key-file", store.data + ".key"]
    copy = data + ".served"
    shutil.copytree(data, copy, symlinks=True)
    command[command.index(data)] = copy
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = daemon.stdout.readline()
    if line:
        daemon.send_signal(signal.SIGTERM)
        result["serve"] = (daemon.wait(30), "ready")
    else:
        result["serve"] = (daemon.wait(30), daemon.stderr.read().decode()[-160:].strip())
    shutil.rmtree(copy)
    return result


def agree(store, data, code, judges=("verify", "stat", "repair", "explain", "snapshot", "serve")):
    got = codes(store, data)
    # A sound store has no such request, and a dry run of a repair of a sound store says so.
    accept = {name: {code} | ({3} if name == "explain" and code == 0 else set()) for name in judges}
    bad = {name: got[name] for name in judges if got[name][0] not in accept[name]}
    check(not bad, f"wanted {code}: {bad}")


def filled(store, deposits=600):
    store.serve()
    peer = Peer(store.address).customer()
    peer.open()
    for _ in range(deposits):
        peer.deposit()
    time.sleep(0.3)
    check(store.end() == 0, "end")


@case
def tools_agree_on_creating_without_a_manifest(store):
    data = os.path.join(store.root, "half")
    os.mkdir(data, 0o700)
    open(os.path.join(data, "CREATING"), "w").close()
    agree(store, data, 8)


@case
def tools_agree_on_a_store_without_manifest(store):
    filled(store)
    os.remove(os.path.join(store.data, "MANIFEST"))
    agree(store, store.data, 6, judges=("verify", "stat", "explain", "snapshot", "serve"))


@case
def tools_agree_on_an_unknown_version(store):
    filled(store)
    path = os.path.join(store.data, "MANIFEST")
    data = bytearray(open(path, "rb").read())
    for slot in (0, 4096):
        struct.pack_into("<H", data, slot + 12, 99)
        struct.pack_into("<I", data, slot + 8, zlib.crc32(bytes(data[slot + 12:slot + 4096])))
    open(path, "wb").write(data)
    agree(store, store.data, 8)


@case
def a_fifo_named_like_a_segment_hangs_nothing(store):
    filled(store)
    seg = sorted(name for name in os.listdir(store.data) if name.endswith(".seg"))[-1]
    os.remove(os.path.join(store.data, seg))
    os.mkfifo(os.path.join(store.data, seg))
    done = store.run("wal", "verify", "--data-dir", store.data, timeout=20)
    check(done.returncode == 6, f"{done.returncode} {done.text}")


@case
def a_spare_with_a_flipped_bit_is_repaired(store):
    filled(store)
    spare = sorted(name for name in os.listdir(store.data) if name.endswith(".seg"))[-1]
    path = os.path.join(store.data, spare)
    data = bytearray(open(path, "rb").read())
    check(not any(data[4096:]), "the last segment is no spare")
    data[20] ^= 1
    open(path, "wb").write(data)
    agree(store, store.data, 6, judges=("verify", "stat", "explain", "snapshot", "serve"))
    done = store.run("wal", "repair", "--dry-run", "--data-dir", store.data)
    print("    " + done.text.strip().replace("\n", "\n    "))
    done = store.run("wal", "repair", "--data-dir", store.data)
    check(done.returncode == 0, f"{done.returncode} {done.text}")
    agree(store, store.data, 0)
    os.remove(sorted(os.path.join(store.data, name) for name in os.listdir(store.data) if name.endswith(".seg"))[-1])
    done = store.run("wal", "repair", "--data-dir", store.data)
    check(done.returncode == 0, f"{done.returncode} {done.text}")
    store.serve()


@case
def a_tail_zeroed_after_a_clean_stop_is_refused(store):
    filled(store)
    segments = sorted(name for name in os.listdir(store.data) if name.endswith(".seg"))
    for name in reversed(segments):
        path = os.path.join(store.data, name)
        data = bytearray(open(path, "rb").read())
        blocks = [at for at in range(4096, len(data), 4096) if any(data[at:at + 4096])]
        if blocks:
            for at in blocks[-3:]:
                data[at:at + 4096] = bytes(4096)
            open(path, "wb").write(data)
            break
    agree(store, store.data, 6, judges=("verify", "stat", "explain", "snapshot", "serve"))


@case
def a_snapshot_holds_what_was_answered_before_it(store):
    store.serve()
    peer = Peer(store.address).customer()
    peer.open()
    for index in range(20):
        peer.deposit()
        target = os.path.join(store.root, f"snap{index}")
        done = store.run("snapshot", target, "--data-dir", store.data, "--json")
        check(done.returncode == 0, done.text)
        dump = store.run("wal", "dump", "--data-dir", target)
        check(dump.text.count("deposit") == index + 1, f"{index}: {dump.text.count('deposit')} {dump.text[-300:]}")


# Point 5


@case
def a_gap_leaves_no_doubt(store):
    store.serve()
    first = store.teller("deposit", "Sami", "1", "--json")
    session = re.search(r'"session": ?"([^"]+)"', first.text).group(1)
    ahead = store.teller("deposit", "Sami", "1", "--request", f"{session}/51")
    check(ahead.returncode == 3, f"{ahead.returncode} {ahead.text}")
    after = store.teller("deposit", "Sami", "1")
    check(after.returncode == 0 and "doubt" not in after.text, after.text)
    done = store.teller("resolve", "Sami")
    check(done.returncode == 0, f"{done.returncode} {done.text}")


@case
def sixty_four_lost_journals_lock_nobody_out(store):
    store.serve()
    for _ in range(64):
        peer = Peer(store.address).customer()
        peer.open()
        peer.deposit()
        peer.close()
    said, seen = store.teller("deposit", "Sami", "1"), set()
    # Each command that a message names is run, and those that its message names.
    texts = [said.text]
    while texts:
        for advice in re.findall(r"`bankd ([^`]+)`", texts.pop()):
            words = ["Sami" if word == "NAME" else word for word in advice.split()]
            if tuple(words) not in seen:
                seen.add(tuple(words))
                texts.append(store.teller(*words).text)
    done = store.teller("deposit", "Sami", "1")
    check(done.returncode == 0, f"{sorted(seen)}: {done.text}")


# Point 6


@case
def a_full_standard_output_is_no_success(store):
    store.serve()
    common = f"--server {store.server} --pin-file {store.pin}"
    for command in (
        f"balance Sami {common}",
        f"deposit Sami 1 {common}",
        f"wal dump --data-dir {store.data}",
        f"wal stat --data-dir {store.data}",
        f"wal verify --data-dir {store.data}",
        f"account list --data-dir {store.data}",
        f"sessions list Sami {common}",
        f"prime 7 --server {store.server}",
        f"prove --list-broken",
        "--help",
        "--version",
    ):
        done = store.run(shell=f"{BANKD} {command} > /dev/full")
        check(done.returncode == 1, f"{command}: {done.returncode} {done.text}")
        lines = [line for line in done.stderr.decode().splitlines() if "standard output" in line]
        check(len(lines) == 1, f"{command}: {done.text}")
    shown = store.teller("balance", "Sami")
    check(shown.returncode == 0, shown.text)


# Point 7


@case
def a_line_client_of_the_teller_machine_may_be_cut_and_merged(store):
    import random
    store.serve("--lab", "--lab-listen-lower", "127.0.0.1:0", "--lab-listen-number", "127.0.0.1:0", "--lab-listen-atm", "127.0.0.1:0")
    said = []
    dialogue = b"Sami\n1234\n1\n3\n20\n2\n20\n1\n4\n"
    chance = random.Random(7)
    for attempt in range(6):
        name = [key for key in store.ports if "atm" in key][0]
        peer = Peer(store.ports[name])
        rest = dialogue
        if attempt == 0:
            pieces = dialogue.splitlines(keepends=True)
        elif attempt == 1:
            pieces = [dialogue]
        else:
            pieces = []
            while rest:
                count = chance.randint(1, 9)
                pieces.append(rest[:count])
                rest = rest[count:]
        for index, piece in enumerate(pieces):
            peer.send(piece)
            time.sleep(0.05)
        data = b""
        while True:
            try:
                more = peer.socket.recv(4096)
            except ConnectionError:
                break
            if not more:
                break
            data += more
        said.append(data)
    check(len(set(said)) == 1, "\n".join(repr(data) for data in said))


# Point 9


@case
def durations_have_units(store):
    store.serve()
    for value in ("2s", "500ms", "1m", "3"):
        done = store.teller("balance", "Sami", "--timeout", value)
        check(done.returncode == 0, f"{value}: {done.text}")
    check(store.teller("balance", "Sami", "--timeout", "soon").returncode == 2, "nonsense")


@case
def pipelined_operator_commands_see_each_other(store):
    store.serve()
    peer = Peer(os.path.join(store.data, "operator.sock"), unix=True)
    operate = lambda variant, body: frame(struct.pack("<II", 16, variant) + body)
    peer.send(HELLO + operate(0, text("Nora") + text("123456") + struct.pack("<Q", 0)) + operate(2, text("Nora")) + operate(3, text("Nora")) + operate(1, text("Nora")))
    kinds = [peer.reply()[0] for _ in range(5)]
    check(kinds == [0, 13, 13, 13, 13], kinds)


@case
def a_session_closed_in_the_same_write_takes_no_request(store):
    store.serve()
    peer = Peer(store.address).customer()
    session = peer.open()
    peer.send(deposit(1, peer.account, 1) + frame(struct.pack("<I", 8) + session) + deposit(2, peer.account, 1))
    kinds = [peer.reply() for _ in range(3)]
    check([kind for kind, _ in kinds] == [3, 6, 15], [kind for kind, _ in kinds])
    check(struct.unpack("<I", kinds[2][1][:4])[0] in (6, 7), kinds[2])


@case
def byte_order_marks_and_empty_journals_are_harmless(store):
    store.serve()
    pin = os.path.join(store.root, "bom")
    with open(pin, "wb") as file:
        file.write(b"\xef\xbb\xbf1234\n")
    os.chmod(pin, 0o600)
    check(store.run("balance", "Sami", "--server", store.server, "--pin-file", pin).returncode == 0, "pin")
    journal = os.path.join(store.root, "empty")
    open(journal, "w").close()
    os.chmod(journal, 0o600)
    done = store.teller("batch", "--journal", journal, stdin=b"\xef\xbb\xbfdeposit Sami 1\n")
    check(done.returncode == 0, done.text)


@case
def names_have_one_rule(store):
    store.serve()
    for name in ("blank ", " blank", "e\u0301", "zero\u200bwidth"):
        done = store.run("account", "open", name, "--data-dir", store.data, "--pin-stdin", stdin=b"123456\n")
        check(done.returncode in (2, 3), f"{name!r}: {done.returncode} {done.text}")
        path = os.path.join(store.root, "accounts.csv")
        with open(path, "w") as file:
            file.write(f'kind,name,secret,balance\naccount,"{name}",123456,5\n')
        done = store.run("init", "--data-dir", os.path.join(store.root, "x%d" % time.time_ns()), "--accounts", path)
        check(done.returncode == 2, f"{name!r}: {done.returncode} {done.text}")


def main():
    wanted = sys.argv[1:]
    failed = []
    for function in CASES:
        if wanted and not any(word in function.__name__ for word in wanted):
            continue
        store = Store()
        began = time.monotonic()
        try:
            function(store)
            print(f"ok      {function.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as error:  # noqa: BLE001 - every failure is reported, and the next case tried
            failed.append(function.__name__)
            print(f"FAILED  {function.__name__}: {type(error).__name__}: {error}", flush=True)
        finally:
            store.remove()
    print(f"{len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
