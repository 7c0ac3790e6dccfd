#!/usr/bin/env bash
# A signal at a PIN prompt leaves the terminal with its echo on, in a shell that does not restore it itself.
# Needs python3, for a pseudo-terminal. BANKD names the program.
set -euo pipefail
BANKD="${BANKD:-target/release/bankd}"
dir=$(mktemp -d)
daemon=
finish() {
    [[ -n $daemon ]] && kill "$daemon" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
export BANKD_ALLOW_TMPFS=1
"$BANKD" serve --demo --data-dir "$dir/store" --listen 127.0.0.1:0 >"$dir/ready" 2>"$dir/log" &
daemon=$!
for _ in $(seq 200); do
    grep -q "ready native" "$dir/ready" && break
    sleep 0.1
done
address=$(sed -n 's/^ready native //p' "$dir/ready")
BANKD="$BANKD" ADDRESS="$address" JOURNAL="$dir/journal" python3 - <<'PYTHON'
import fcntl, os, pty, signal, struct, sys, termios, time

NUMBER_OF_TERMINAL = 0x80045430

def shows(fd):
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)

def until(condition, what):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    sys.exit("never: " + what)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    for command in (["balance", "Sami"], ["atm"]):
        child, terminal = pty.fork()
        if child == 0:
            # A shell starts what runs behind it with some of these ignored, and that is inherited.
            for ended_by in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(ended_by, signal.SIG_DFL)
            args = [os.environ["BANKD"], *command, "--server", os.environ["ADDRESS"], "--journal", os.environ["JOURNAL"]]
            os.execv(args[0], args)
        # A second descriptor of the terminal's own side shows its settings when the child is gone.
        (place,) = struct.unpack("I", fcntl.ioctl(terminal, NUMBER_OF_TERMINAL, bytes(4)))
        side = os.open(f"/dev/pts/{place}", os.O_RDWR | os.O_NOCTTY)
        if command == ["atm"]:
            os.write(terminal, b"Sami\n")
        until(lambda: not shows(side), "echo off at the prompt of " + command[0])
        os.kill(child, number)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != number:
            sys.exit(f"{command[0]} ended otherwise than by signal {number}: {status}")
        if not shows(side):
            sys.exit(f"signal {number} at the prompt of {command[0]} left the terminal without echo")
        os.close(side)
        os.close(terminal)
print("the echo is on again behind every signal")
PYTHON
