#!/bin/sh
# A program that asks and answers by curl, and has each effect once.
#
#   exchange.sh SOCKET LEDGER ask PEER LANE COUNT    until all are answered
#   exchange.sh SOCKET LEDGER answer LANE            until it is ended
#
# The effect, here, is a line in the ledger: a word, the exchange and a text. It is
# synced before the node is told that the event is done with; so the program and the
# node may be killed at any moment, and started again, and every request still has its
# effect once, on either side. Of curl's results it needs: 0 is an answer, of any
# status; all else is a node that can't be reached now, which is asked again.
set -eu

socket=$1 ledger=$2 part=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
touch "$ledger"

# call METHOD PATH [curl's options]: makes a call until it is answered, and leaves
# the answer in $status, $work/head and $work/body.
call() {
  method=$1 path=$2
  shift 2
  until status=$(curl -s --max-time 60 --unix-socket "$socket" -X "$method" -o "$work/body" -D "$work/head" -w '%{http_code}' "$@" "http://parley$path"); do
    sleep 0.05
  done
}

refused() { # what the node doesn't want ends the program
  echo "exchange.sh: $1: $status $(cat "$work/body")" >&2
  exit 1
}

header() { sed -n "s/^$1: //Ip" "$work/head" | tr -d '\r'; }

note() { # WORD EXCHANGE TEXT
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$ledger"
}

recall() { # WORD EXCHANGE: the text of that line
  awk -F '\t' -v word="$1" -v exchange="$2" '$1 == word && $2 == exchange { print $3; found = 1; exit } END { exit !found }' "$ledger"
}

come() { # notes an event that came, as new or again
  if [ "$(header Parley-Redelivered)" = yes ]; then note again "$1" "$(cat "$work/body")"; else note first "$1" "$(cat "$work/body")"; fi
}

effect() { # EXCHANGE TEXT: has the effect, unless it was had before
  if recall effect "$1" >/dev/null; then return; fi
  note effect "$1" "$2"
  sync "$ledger" 2>/dev/null || sync
}

ask() { # PEER LANE COUNT
  n=1
  while [ "$n" -le "$3" ]; do
    job="$2 $n"
    # The key makes it the same exchange, however often it is asked for.
    call POST "/v1/requests?peer=$1&lane=$2&key=$2%20$n&wait=30s" --data-binary "$job"
    id=$(header Parley-Id)
    case $status in
    200)
      note asked "$id" "$job"
      come "$id"
      effect "$id" "$(header Parley-Outcome) $(cat "$work/body")"
      call POST "/v1/exchanges/$id/commit"
      [ "$status" = 204 ] || refused commit
      note 'done' "$id" ''
      ;;
    202) continue ;;  # not answered yet
    503) sleep 0.05; continue ;; # the node is stopping
    409) recall asked "$id" >/dev/null || refused request ;; # committed before this program was started again
    *) refused request ;;
    esac
    n=$((n + 1))
  done
}

answer() { # LANE
  after=0
  while :; do
    call GET "/v1/next?after=$after&lane=$1&notices=no&wait=30s"
    case $status in
    200) after=$(header Parley-Seq) ;;
    204) continue ;;
    503) sleep 0.05; continue ;;
    *) refused next ;;
    esac
    [ "$(header Parley-Kind)" = request ] || continue
    id=$(header Parley-Id)
    come "$id"
    effect "$id" "done: $(cat "$work/body")"
    call POST "/v1/exchanges/$id/reply" --data-binary "$(recall effect "$id")"
    case $status in
    204 | 409) note 'done' "$id" '' ;; # 409: its dialer gave it up
    *) refused reply ;;
    esac
  done
}

shift 3
case $part in
ask | answer) "$part" "$@" ;;
*) refused "want ask or answer" ;;
esac
