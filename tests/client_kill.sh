#!/usr/bin/env bash
# A client that is killed at each of its system calls in the middle of a withdrawal, and then started again: the money has
# moved once or not at all, and the customer is told which: by the killed run, by the next command of the same customer,
# whatever it is, or by the resolving of the doubt that it warns of. BANKD names the binary; strace is needed.
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

# The balance; what the command says beside it is in the file `aside`.
balance() {
    "$BANKD" balance Sami --pin-file pin --json 2> aside | sed 's/.*"balance":"\([0-9]*\)".*/\1/'
}

kills=0
moved_times=0
told_late=0
before=$(balance)
for call in openat pwrite64 fdatasync fsync ftruncate rename connect sendto recvfrom write close; do
    for when in $(seq 40); do
        code=0
        # The whole group of one withdrawal: killed at its Nth call of this kind.
        # The braces keep the shell from telling of each kill.
        { strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=SIGKILL:when=$when" \
            "$BANKD" withdraw Sami 1 --pin-file pin --json > told 2> said; } 2> /dev/null || code=$?
        disturbed=1
        [[ $code -eq 0 && -s told ]] && disturbed=0
        # The next command of this customer, which is about something else.
        looked=$(balance)
        cp aside late
        by_late=$(grep -c 'of an earlier run: request .*: Sami withdraw 1 (account 1): Done, balance' late || true)
        in_doubt=$(grep -c '1 earlier request(s) of Sami are in doubt' late || true)
        # It ends no doubt. That is done when asked for, and says what became of it.
        "$BANKD" resolve Sami --pin-file pin --json > resolved 2> said || fail "$call $when: resolve failed: $(cat said)"
        by_resolve=$(grep -o '"outcome":"done"' resolved | wc -l || true)
        after=$(balance)
        moved=$((before - after))
        [[ $moved -eq 0 || $moved -eq 1 ]] || fail "$call $when: $moved moved"
        [[ $in_doubt -eq 1 || $looked -eq $after ]] || fail "$call $when: no word of a doubt, and it was open: $(cat late)"
        [[ $in_doubt -eq $(grep -o '"outcome"' resolved | wc -l || true) ]] || fail "$call $when: $(cat late), then $(cat resolved)"
        grep -q 'request' aside && fail "$call $when: told once more: $(cat aside)"
        by_itself=0
        grep -q '"outcome":"done"' told && by_itself=1
        if [[ $moved -eq 1 ]]; then
            [[ $((by_itself + by_late + by_resolve)) -ge 1 ]] || fail "$call $when: moved, and nobody was told"
            [[ $((by_late + by_resolve)) -le 1 ]] || fail "$call $when: told as two: $(cat late), then $(cat resolved)"
        else
            [[ $((by_itself + by_late + by_resolve)) -eq 0 ]] || fail "$call $when: told, and nothing moved"
        fi
        if [[ $disturbed -eq 0 ]]; then
            [[ $((by_late + in_doubt)) -eq 0 ]] || fail "$call $when: a run that told everything is told of again: $(cat late)"
        elif [[ $by_itself -eq 0 ]]; then
            told_late=$((told_late + by_late))
        fi
        before=$after
        moved_times=$((moved_times + moved))
        [[ $disturbed -eq 1 ]] || break
        kills=$((kills + 1))
    done
done
[[ $kills -ge 20 && $moved_times -ge 10 && $told_late -ge 1 ]] ||
    fail "only $kills kills, $moved_times withdrawals, $told_late told late: nothing was shown"
echo "client_kill: $kills kills, $moved_times withdrawals, each once and told ($told_late by the next command of its customer)"
