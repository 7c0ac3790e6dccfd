#!/usr/bin/env bash
# A client that is killed at each of its system calls in the middle of a withdrawal, and then started again: the money has
# moved once or not at all, and the customer is told which. BANKD names the binary; strace is needed.
set -euo pipefail

BANKD=$(realpath "${BANKD:-target/release/bankd}")
if ! command -v strace > /dev/null; then
    echo "client_kill: skipped: strace is not installed"
    exit 0
fi
work=$(mktemp -d)
daemon=
finish() {
    [[ -z $daemon ]] || kill -9 "$daemon" 2> /dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
export XDG_STATE_HOME="$work/state"
(umask 077 && echo 1234 > pin)

fail() {
    echo "client_kill: $1" >&2
    exit 1
}

mkfifo ready
"$BANKD" serve --demo --data-dir store --listen 127.0.0.1:0 > ready 2> log &
disown
read -r line < ready || fail "the daemon does not start: $(cat log)"
export BANKD_SERVER=${line#ready native }
daemon=$(sed -n 's/^process //p' store/LOCK)

balance() {
    "$BANKD" balance Sami --pin-file pin --json 2> /dev/null | sed 's/.*"balance":"\([0-9]*\)".*/\1/'
}

kills=0
moved_times=0
asked_again=0
before=$(balance)
for call in openat pwrite64 fdatasync fsync ftruncate rename connect sendto recvfrom write close; do
    for when in $(seq 40); do
        code=0
        # The whole group of one withdrawal: killed at its Nth call of this kind.
        strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=SIGKILL:when=$when" \
            "$BANKD" withdraw Sami 1 --pin-file pin --json > told 2> said || code=$?
        disturbed=1
        [[ $code -eq 0 && -s told ]] && disturbed=0
        # Whoever comes next ends the doubt and says what became of it.
        "$BANKD" resolve Sami --pin-file pin --json > resolved 2> said || fail "$call $when: resolve failed: $(cat said)"
        after=$(balance)
        moved=$((before - after))
        [[ $moved -eq 0 || $moved -eq 1 ]] || fail "$call $when: $moved moved"
        done_again=$(grep -o '"outcome":"done"' resolved | wc -l || true)
        if grep -q '"outcome":"done"' told; then
            [[ $moved -eq 1 && $done_again -eq 0 ]] || fail "$call $when: told $(cat told), then $(cat resolved), and $moved moved"
        elif [[ $moved -eq 1 ]]; then
            # Moved, and the first run did not tell: the resolving does; or the answer was in the journal already when the
            # client died, and asking for the same request again gives it.
            if [[ $done_again -eq 0 ]]; then
                session=$("$BANKD" sessions list Sami --pin-file pin --json | grep -o '"session":"[^"]*"' | tail -n 1 | cut -d '"' -f 4)
                "$BANKD" withdraw Sami 1 --pin-file pin --request "$session/1" --json > again 2> said || fail "$call $when: $(cat said)"
                grep -q '"outcome":"done".*"replayed":true' again || fail "$call $when: asked again: $(cat again)"
                asked_again=$((asked_again + 1))
            fi
        else
            [[ $done_again -eq 0 ]] || fail "$call $when: resolved as done, and nothing moved"
        fi
        before=$after
        moved_times=$((moved_times + moved))
        [[ $disturbed -eq 1 ]] || break
        kills=$((kills + 1))
    done
done
[[ $kills -ge 20 && $moved_times -ge 10 ]] || fail "only $kills kills, $moved_times withdrawals: nothing was shown"
echo "client_kill: $kills kills, $moved_times withdrawals, each once and told ($asked_again by asking again)"
