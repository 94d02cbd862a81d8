#!/bin/sh
# A program that asks and answers by curl, and has each effect once.
#
#   exchange.sh SOCKET LEDGER ask PEER LANE COUNT    until all are answered
#   exchange.sh SOCKET LEDGER answer LANE            until it is ended
#
# The effect, here, is a line in the ledger: a word, the exchange and a text. It is
# synced before the node is told that the event is done with; so the program and the
# node may be killed at any moment, and started again, and every request still has its
# effect once, on either side. Texts are lines: a payload of bytes wants a file.
set -eu

socket=$1 ledger=$2 part=$3
work=$(mktemp -d) tab=$(printf '\t')
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
touch "$ledger"

# call METHOD PATH [curl's options]: makes a call until it is answered, with any
# status but 429 and 503, which are for later, and leaves the answer in $status, $id,
# $seq, $kind, $outcome, $again and $body. What curl says otherwise is a node that
# can't be reached now.
call() {
  method=$1 path=$2
  shift 2
  until status=$(curl -s --max-time 60 --unix-socket "$socket" -X "$method" -o "$work/body" -D "$work/head" -w '%{http_code}' "$@" "http://parley$path") &&
    [ "$status" != 429 ] && [ "$status" != 503 ]; do
    sleep 0.05
  done
  id='' seq='' kind='' outcome='' again=''
  while IFS=' ' read -r name text; do
    text=${text%?} # a carriage return
    case $name in
    Parley-Id:) id=$text ;;
    Parley-Seq:) seq=$text ;;
    Parley-Kind:) kind=$text ;;
    Parley-Outcome:) outcome=$text ;;
    Parley-Redelivered:) again=$text ;;
    esac
  done <"$work/head"
  body=''
  if [ "$status" != 204 ]; then body=$(cat "$work/body"); fi
}

refused() { # what the node doesn't want ends the program
  echo "exchange.sh: $1: $status $body" >&2
  exit 1
}

note() { # WORD EXCHANGE TEXT
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$ledger"
}

# effect TEXT: has the effect of the event, unless it was had before, which can only be
# when the event is marked. $had is what it was.
effect() {
  if [ "$again" = yes ]; then
    note again "$id" "$body"
    had=$(awk -F '\t' -v id="$id" '$1 == "effect" && $2 == id { print $3; exit }' "$ledger")
    if [ -n "$had" ]; then return; fi
  else
    note first "$id" "$body"
  fi
  had=$1
  note effect "$id" "$had"
  sync "$ledger" 2>/dev/null || sync
}

# tell EXCHANGE CALL [curl's options]: tells the node that an event is done with.
tell() {
  exchange=$1 call=$2
  shift 2
  call POST "/v1/exchanges/$exchange/$call" "$@"
  case $status in
  204 | 404 | 409) note 'done' "$exchange" '' ;; # it is over: answered, given up, or long ago
  *) refused "$call" ;;
  esac
}

# owed: the exchanges and effects of which an earlier run, which was ended, didn't note
# that the node knows.
owed() {
  awk -F '\t' -v OFS='\t' '$1 == "effect" { had[$2] = $3 } $1 == "done" { delete had[$2] } END { for (id in had) print id, had[id] }' "$ledger" >"$work/owed"
}

ask() { # PEER LANE COUNT
  owed
  while IFS="$tab" read -r exchange had; do tell "$exchange" commit; done <"$work/owed"
  n=$(awk '$1 == "done"' "$ledger" | wc -l)
  while [ "$n" -lt "$3" ]; do
    job="$2 $((n + 1))"
    # The key makes it the same exchange, however often it is asked for.
    call POST "/v1/requests?peer=$1&lane=$2&key=$2%20$((n + 1))&wait=30s" --data-binary "$job"
    case $status in
    200)
      note asked "$id" "$job"
      effect "$outcome $body"
      ;;
    202) continue ;; # not answered yet
    *) refused request ;;
    esac
    tell "$id" commit
    n=$((n + 1))
  done
}

answer() { # LANE
  owed
  while IFS="$tab" read -r exchange had; do tell "$exchange" reply --data-binary "$had"; done <"$work/owed"
  after=0
  while :; do
    call GET "/v1/next?after=$after&lane=$1&notices=no&wait=30s"
    case $status in
    200) after=$seq ;;
    204) continue ;;
    *) refused next ;;
    esac
    [ "$kind" = request ] || continue
    effect "done: $body"
    tell "$id" reply --data-binary "$had"
  done
}

shift 3
case $part in
ask | answer) "$part" "$@" ;;
*) sed -n '2,5s/^# *//p' "$0" >&2; exit 2 ;;
esac
