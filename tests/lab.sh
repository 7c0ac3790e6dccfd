#!/usr/bin/env bash
# The report's four client programs against a real daemon, with nothing changed but address and port: their screens must
# be those in tests/lab/*.screen. `tests/lab.sh times` prints connection and total times instead.
# BANKD names the program to test.
set -euo pipefail
bankd=$(realpath "${BANKD:-$(dirname "${BASH_SOURCE[0]}")/../target/release/bankd}")
cd "$(dirname "${BASH_SOURCE[0]}")/lab"
work=$(mktemp -d)
daemon=

finish() {
    if [[ -n $daemon ]]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

# Starts the daemon with these flags; `native`, `lower`, `number` and `atm` are its addresses.
serve() {
    : >"$work/ready"
    "$bankd" serve --demo --data-dir "$work/store" --listen 127.0.0.1:0 --lab --lab-listen-lower 127.0.0.1:0 \
        --lab-listen-number 127.0.0.1:0 --lab-listen-atm 127.0.0.1:0 "$@" >"$work/ready" 2>"$work/log" &
    daemon=$!
    local tries=0
    until [[ $(wc -l <"$work/ready") -ge 4 ]]; do
        sleep 0.05
        tries=$((tries + 1))
        if [[ $tries -gt 200 ]] || ! kill -0 "$daemon" 2>/dev/null; then
            echo "the daemon did not start:" >&2
            cat "$work/log" >&2
            exit 1
        fi
    done
    read -r native lower number atm < <(awk '{ printf "%s ", $3 } END { print "" }' "$work/ready")
}

# stop SIGNAL
stop() {
    kill -s "$1" "$daemon"
    wait "$daemon" 2>/dev/null || true
    daemon=
}

# screen NAME PROGRAM ADDRESS LINE...: what the program shows while somebody types these lines is NAME.screen.
screen() {
    local name=$1 program=$2 address=$3
    shift 3
    printf '%s\n' "$@" | timeout 30 python3 "$program.py" "${address%:*}" "${address##*:}" |
        sed -E 's/^Total time: [0-9.e-]+ seconds$/Total time: T seconds/' >"$work/screen"
    if ! diff -u "$name.screen" "$work/screen"; then
        echo "$program.py shows something else than $name.screen" >&2
        exit 1
    fi
    echo "$name: as in the report"
}

if [[ ${1:-} == times ]]; then
    serve
    python3 times.py "$bankd" "${atm%:*}" "${atm##*:}" "$native" "$work" "${2:-200}"
    exit
fi

serve
screen figure_03 client_5_1 "$lower" HELLO
screen figure_05_prime client_5_2 "$number" 13 prime
screen figure_05_palindrome client_5_2 "$number" 6996 palindrome
screen figure_05_nonprime client_5_2 "$number" 16 prime
screen figure_05_nonpalindrome client_5_2 "$number" 6565 palindrome
screen figure_12_without_errors client_5_3 "$atm" Sami 1234 1 2 1000 3 2000 4
# What only this bank does: the balance survives the login and a kill.
stop KILL
serve
screen figure_12_after_a_kill client_5_4 "$atm" Sami 1234 1 3 280 2 99999 4
screen refused_login client_5_3 "$atm" Kader 4321 Kader 1234 1 4
stop TERM
rm -r "$work/store"
serve --lab-error-rate 0.3 --lab-seed 32
screen figure_13_with_errors client_5_4 "$atm" Sami 1234 1 2 150 3 150 3 150 2 150 2 150 2 150 3 150 4
stop TERM
