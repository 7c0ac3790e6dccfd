#!/usr/bin/env bash
# The release build as a user meets it: the demonstration of the README, the order of system calls around a commit, and
# SIGKILL and errors injected at each call of the commit path. BANKD names the binary; strace is needed for the second half.
set -euo pipefail

BANKD=$(realpath "${BANKD:-target/release/bankd}")
work=$(mktemp -d)
daemon=
finish() {
    [[ -z $daemon ]] || kill -9 "$daemon" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
export XDG_STATE_HOME="$work/state"
(umask 077 && echo 1234 > pin)

fail() {
    echo "smoke: $1" >&2
    [[ ! -s log ]] || tail -n 20 log >&2
    exit 1
}

# serve [COMMAND...]: starts the daemon, through COMMAND if given, and sets $daemon (its own pid) and $address.
serve() {
    rm -f ready
    mkfifo ready
    "$@" "$BANKD" serve --demo --data-dir store --listen 127.0.0.1:0 > ready 2>> log &
    disown
    local line
    read -r line < ready || { address=; return 1; }
    address=${line#ready native }
    daemon=$(sed -n 's/^process //p' store/LOCK)
}

# ended: waits until the daemon is gone.
ended() {
    for _ in $(seq 200); do
        kill -0 "$daemon" 2>/dev/null || { daemon=; return; }
        sleep 0.05
    done
    fail "the daemon does not end"
}

# spare: the segment that the next start will write to; a start that logs nothing leaves it untouched.
spare() {
    serve
    kill_daemon
    spare=$work/store/$(ls store | grep 'seg$' | tail -n 1)
}

kill_daemon() {
    kill -9 "$daemon"
    ended
}

bank() {
    "$BANKD" "$@" --server "$address" --pin-file pin
}

balance() {
    bank balance Sami --json | sed 's/.*"balance":"\([0-9]*\)".*/\1/'
}

field() {
    sed "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/"
}

echo "smoke: a withdrawal, a kill, the same answer again"
serve
first=$(bank withdraw Sami 720 --json)
request="$(field session <<< "$first")/$(field number <<< "$first")"
kill_daemon
serve
again=$(bank withdraw Sami 720 --request "$request" --json)
[[ "${first/\"replayed\":false/\"replayed\":true}" == "$again" ]] || fail "first $first, then $again"
[[ $(balance) == 45000 ]] || fail "the balance is $(balance)"
code=0; bank withdraw Sami 721 --request "$request" 2> said || code=$?
[[ $code == 3 ]] || fail "another command under a used number ended with $code"
code=0; declined=$(bank withdraw Sami 99999 --json 2> said) || code=$?
[[ $code == 3 && $declined == *insufficient_balance* ]] || fail "an overdraft ended with $code: $declined"
kill -TERM "$daemon"
ended
code=0; bank balance Sami 2> said || code=$?
[[ $code == 4 ]] || fail "nobody listens, and the command ended with $code"

if ! command -v strace > /dev/null; then
    echo "smoke: skipped: strace is not installed, so no system calls were watched and no faults injected"
    exit 0
fi

echo "smoke: the sync comes before the reply"
serve strace -f -qq -o trace -y -e trace=pwrite64,fdatasync,write,sendto
for amount in 1 2 3 4 5; do bank deposit Sami "$amount" 2> /dev/null > /dev/null; done
pid=$daemon
kill -TERM "$daemon"
ended
# From a batch's write to its sync, nothing may be written to a client.
awk -v loop="$pid" '
    $1 != loop { next } # the thread that prepares segments
    /pwrite64\([0-9]+<[^>]*\.seg>/ { unsynced = 1; writes++ }
    /fdatasync(\(| resumed).* = 0$/ { unsynced = 0; syncs++ }
    /sendto\([0-9]+<(TCP|socket)/ && !/MSG_DONTWAIT/ { replies++; if (unsynced) { print "a reply left before the sync: " $0; exit 1 } }
    END { if (replies < 20 || syncs < 10 || writes < 10) { print "too little was seen: " replies " replies, " writes " writes, " syncs " syncs"; exit 1 } }
' trace || fail "system calls in the wrong order"

echo "smoke: killed at each call of the commit path"
serve
before=$(balance)
kill_daemon
doubts=0
for call in pwrite64 fdatasync; do
    for when in 1 2 3 4 5 6; do
        spare
        serve strace -f -qq -o /dev/null -P "$spare" -e trace="$call" -e inject="$call:signal=SIGKILL:when=$when" || true
        told=4
        if [[ -n $address ]]; then
            told=0; answer=$(bank withdraw Sami 10 --json --timeout 1 2> said) || told=$?
        fi
        [[ -z $daemon ]] || kill -9 "$daemon" 2> /dev/null || true
        [[ -z $daemon ]] || ended
        serve
        bank resolve Sami > resolved 2>&1 || fail "resolve after a kill at $call $when: $(cat resolved)"
        after=$(balance)
        moved=$((before - after))
        case $told in
            0) [[ $moved == 10 ]] || fail "$call $when: answered $answer, but $moved moved" ;;
            4) [[ $moved == 0 ]] || fail "$call $when: nothing was sent, but $moved moved" ;;
            5) doubts=$((doubts + 1)); [[ $moved == 0 || $moved == 10 ]] || fail "$call $when: in doubt, and $moved moved" ;;
            *) fail "$call $when: the client ended with $told: $(cat said)" ;;
        esac
        before=$after
        kill_daemon
    done
done

[[ $doubts -ge 2 ]] || fail "only $doubts of the kills left a client in doubt: nothing was shown"

echo "smoke: a failed write or sync ends the daemon unanswered"
failures=0
for call in pwrite64 fdatasync; do
    for error in EIO ENOSPC; do
        spare
        : > log
        # The second sync: the first one is recovery's.
        serve strace -f -qq -o /dev/null -P "$spare" -e trace="$call" -e inject="$call:error=$error:when=2+" || true
        [[ -n $address ]] || continue
        code=0; bank withdraw Sami 10 --timeout 1 > /dev/null 2> said || code=$?
        [[ $code == 4 || $code == 5 ]] || fail "$call fails with $error, and the client was told $code"
        ended
        grep -q "the daemon ended" log || fail "the daemon did not say why it ended"
        failures=$((failures + 1))
        serve
        bank resolve Sami > resolved 2>&1 || fail "resolve after $call failed with $error: $(cat resolved)"
        kill_daemon
    done
done
[[ $failures -ge 2 ]] || fail "only $failures of the failures met a serving daemon: nothing was shown"


echo "smoke: a sync that takes ten seconds: nobody is answered early"
spare
serve strace -f -qq -o /dev/null -P "$spare" -e trace=fdatasync -e inject=fdatasync:delay_enter=10000000:when=4
began=$(date +%s)
bank withdraw Sami 10 > /dev/null 2> said || fail "the withdrawal over a slow sync failed: $(cat said)"
waited=$(($(date +%s) - began))
[[ $waited -ge 9 ]] || fail "answered after $waited s, before the sync was over"
resident=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$daemon/status")
[[ $resident -lt 131072 ]] || fail "$resident KiB resident"
kill_daemon

echo "smoke: large batches, which a thread writes while the answers are made"
strace -f -qq -o trace -y -e trace=pwrite64,fdatasync,sendto \
    "$BANKD" bench run --connections 16 --depth 256 --warm-up 0 --duration 2 --json > said 2>&1 || fail "no load under strace: $(cat said)"
# From a batch's write to its sync, nothing may leave. The first line is the generator's, and what its main thread sends are
# questions; whoever else sends is the daemon.
awk '
    NR == 1 { generator = $1 }
    /pwrite64\([0-9]+<[^>]*\.seg>/ { unsynced = 1; writes++; aside += (loop != "" && $1 != loop) }
    /fdatasync\([0-9]+<[^>]*\.seg>/ { syncing[$1] = 1 }
    /fdatasync(\(| resumed).* = 0$/ { if (syncing[$1]) { unsynced = 0; syncs++; delete syncing[$1] } }
    /sendto\([0-9]+<(TCP|socket)/ && $1 != generator { loop = $1; replies++; if (unsynced) { print "a reply left before the sync: " $0; exit 1 } }
    END { if (replies < 20 || syncs < 10 || aside < 10) { print "too little was seen: " replies " replies, " writes " writes, " aside " of them aside, " syncs " syncs"; exit 1 } }
' trace || fail "system calls in the wrong order"
for call in pwrite64 fdatasync; do
    for inject in signal=SIGKILL error=EIO; do
        rm -rf loaded journal
        code=0
        strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:$inject:when=200+" \
            "$BANKD" bench run --connections 16 --depth 256 --warm-up 0 --duration 20 --dir loaded --journal journal > said 2>&1 || code=$?
        [[ $code -ne 0 ]] && grep -q "did not end: the bank: " said || fail "$call met $inject, and the bank went on: $code, $(cat said)"
        "$BANKD" wal verify --data-dir loaded/store --against journal > said 2>&1 || fail "what was answered before $call met $inject is not there: $(cat said)"
    done
done

echo "smoke: a segment that cannot be named"
serve
kill_daemon
rm -f ready
code=0
strace -f -qq -o /dev/null -e trace=/^rename -e inject=/^rename:error=EIO "$BANKD" init --data-dir other --json > said 2>&1 || code=$?
[[ $code -ne 0 ]] && grep -q rename said || fail "a failed rename was not told: $code, $(cat said)"
"$BANKD" init --data-dir other > said 2>&1 || fail "creation does not begin afresh: $(cat said)"

echo "smoke: a long reading shows how far it is"
"$BANKD" init --data-dir slow > said 2>&1 || fail "no store to read slowly: $(cat said)"
slow="strace -f -qq -o /dev/null -e trace=pread64 -e inject=pread64:delay_enter=600000 $BANKD"
$slow wal verify --data-dir slow --json > said 2> shown || fail "a slow verification failed: $(cat shown)"
[[ $(wc -l < said) == 1 ]] || fail "more than JSON on stdout: $(cat said)"
grep -q '^reading the log: .* entries' shown || fail "no line told of a slow verification: $(cat shown)"
grep -q '^read [1-9][0-9]* entries in .*, nothing dropped$' shown || fail "no summary of a slow verification: $(cat shown)"
"$BANKD" wal verify --data-dir slow > said 2> shown
[[ ! -s shown ]] || fail "a quick verification is not silent: $(cat shown)"
if command -v script > /dev/null; then
    TERM=xterm script -qec "$slow wal verify --data-dir slow" shown < /dev/null > /dev/null || fail "a slow verification on a terminal failed: $(cat shown)"
    grep -q 'reading the log \[' shown || fail "no bar on a terminal: $(cat shown)"
fi

echo "smoke: done"
