#!/usr/bin/env python3
"""A client of the native protocol with nothing but the standard library, written from docs/protocol.md.

It deposits 5 once, loses its connection on purpose, and asks again under the same number: the same answer comes,
marked as replayed, and the balance has grown by 5, not by 10.

    echo 1234 | python3 docs/examples/client.py 127.0.0.1:7070 Sami

A real client writes session, number and command to its disk, and syncs, before it sends (section 7 of that page).
"""

import socket
import struct
import sys
import zlib

HELLO, LOGIN, OPEN_SESSION, RESUME_SESSION, REQUEST, BALANCE = 0, 1, 2, 3, 4, 10
WELCOME, LOGGED_IN, SESSION, ANSWER, BALANCE_TOLD, REFUSED = 0, 1, 2, 3, 8, 15
OUTCOMES = ["done", "insufficient balance", "no such account", "account closed", "account locked", "balance overflow", "cancelled"]


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


class Connection:
    """A greeted and logged-in connection."""

    def __init__(self, address, name, pin):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        welcome = self.ask(struct.pack("<II", HELLO, 1), WELCOME)
        self.decimals = welcome[28]
        logged_in = self.ask(struct.pack("<II", LOGIN, 0) + text(name) + text(pin), LOGGED_IN)
        role, self.account = struct.unpack("<II", logged_in)
        assert role == 1, "logged in as a customer"

    def ask(self, message, expected):
        """Sends one message; returns the fields of its reply, which must be of the expected kind."""
        self.socket.sendall(struct.pack("<II", len(message), zlib.crc32(message)) + message)
        length, checksum = struct.unpack("<II", self.read(8))
        if not 1 <= length <= 65536:
            raise SystemExit(f"a frame of {length} bytes")
        payload = self.read(length)
        if zlib.crc32(payload) != checksum:
            raise SystemExit("a frame whose checksum does not match")
        (variant,) = struct.unpack("<I", payload[:4])
        if variant == REFUSED:
            raise SystemExit(f"refused, number {struct.unpack('<I', payload[4:8])[0]} in docs/protocol.md")
        if variant != expected:
            raise SystemExit(f"a reply of kind {variant} instead of {expected}")
        return payload[4:]

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the bank closed the connection")
            data += more
        return data

    def balance(self):
        units, _lsn = struct.unpack("<QQ", self.ask(struct.pack("<II", BALANCE, self.account), BALANCE_TOLD))
        return units

    def deposit(self, number, units):
        """Asks for a deposit under a number; returns the recorded body's bytes and whether they were replayed."""
        command = struct.pack("<IIQ", 0, self.account, units)
        fields = self.ask(struct.pack("<IQQ", REQUEST, number, 1) + command, ANSWER)
        (answered,) = struct.unpack("<Q", fields[:8])
        assert answered == number, "replies come in order"
        return fields[8:28], fields[28] == 1


def main():
    address, name = sys.argv[1:3]
    pin = sys.stdin.readline().rstrip("\n")

    bank = Connection(address, name, pin)
    print(f"decimals {bank.decimals}, balance {bank.balance()}")
    session = bank.ask(struct.pack("<I", OPEN_SESSION), SESSION)[:16]
    lineage, lsn = struct.unpack("<QQ", session)
    first, replayed = bank.deposit(1, 5)
    outcome, balance, entry = struct.unpack("<IQQ", first)
    print(f"request {lineage:016x}-{lsn}/1: {OUTCOMES[outcome]}, balance {balance}, entry {entry}, replayed {replayed}")

    bank.socket.close()
    bank = Connection(address, name, pin)
    bank.ask(struct.pack("<I", RESUME_SESSION) + session, SESSION)
    again, replayed = bank.deposit(1, 5)
    print(f"the same again: identical {again == first}, replayed {replayed}, balance {bank.balance()}")
    second, replayed = bank.deposit(2, 5)
    print(f"the next number: balance {struct.unpack('<IQQ', second)[1]}, replayed {replayed}")


if __name__ == "__main__":
    main()
