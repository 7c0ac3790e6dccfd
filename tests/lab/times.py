"""Connection time and total time of one dialogue, as the program of section 5.3 takes them: over the lab's port and by
`bankd atm`, and the medians as a table. One after the other: on one disk, the journal of the one would slow the other.

    times.py BANKD HOST LAB_PORT NATIVE_ADDRESS DIRECTORY [ROUNDS]
"""
import os
import re
import socket
import statistics
import subprocess
import sys
import time

bankd, host, port, native, directory = sys.argv[1:6]
rounds = int(sys.argv[6]) if len(sys.argv) > 6 else 200
WORDS = ["Sami", "1234", "1", "2", "1000", "3", "1000", "4"]


def lab():
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    start = time.time()
    client.connect((host, int(port)))
    connected = time.time() - start
    answers = [client.recv(1024)]
    for word in WORDS:
        client.send(word.encode())
        answers.append(client.recv(1024))
    total = time.time() - start
    client.close()
    assert answers[5].startswith(b"New balance is "), answers
    return connected, total


def atm():
    words = "".join(word + "\n" for word in WORDS)
    journal = os.path.join(directory, "journal")
    command = [bankd, "atm", "--server", native, "--journal", journal]
    said = subprocess.run(command, input=words, capture_output=True, text=True, check=True).stdout
    assert "New balance is " in said, said
    return tuple(float(re.search(rf"^{what} time: (\S+) seconds", said, re.M)[1]) for what in ("Connection", "Total"))


taken = {
    "the client of section 5.3": [lab() for _ in range(rounds)],
    "`bankd atm`": [atm() for _ in range(rounds)],
}
print(f"| Median of {rounds} dialogues, milliseconds | connection time | total time |")
print("|---|---|---|")
for who, times in taken.items():
    connected, total = (1000 * statistics.median(column) for column in zip(*times))
    print(f"| {who} | {connected:.2f} | {total:.2f} |")
