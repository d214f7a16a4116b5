#!/usr/bin/env bash
# From 40 dead letters of two causes to an empty dead-letter queue:
#
#     letters.sh localstack     on SQS, as LocalStack has it
#     letters.sh sqs            on SQS, as "sluice dev" has it
#     letters.sh pubsub         on the Pub/Sub fake of "sluice dev"
#
# If AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL or PUBSUB_EMULATOR_HOST is set, the server there
# is used instead of one that the script starts. It needs the command sluice on the PATH
# (go build -o ~/bin/sluice ./cmd/sluice), checks every number, and ends with 1 at the first
# that is wrong.
set -euo pipefail

provider=${1:?which provider: localstack, sqs or pubsub}
config=$(cd "$(dirname "$0")" && pwd)/sluice.yaml
work=$(mktemp -d)
dev=      # the process ID of "sluice dev"
consumer= # the process ID of "sluice run"
finish() {
	for process in $consumer $dev; do
		kill -TERM "$process" || true
		wait "$process" || true
	done
	rm -rf "$work"
}
trap finish EXIT
cd "$work"

say() { printf '\n== %s\n' "$*"; }
configs=(--config "$config")
sluice() { command sluice "${configs[@]}" --log-level warn "$@"; }

# check WHAT GOT WANT
check() {
	if [ "$2" != "$3" ]; then
		echo "WRONG: $1 is $2, and $3 was expected" >&2
		exit 1
	fi
	echo "   $1: $2"
}

# status COMMAND... prints the exit status of a command.
status() {
	local code=0
	"$@" >&2 || code=$?
	echo "$code"
}

# field NAME reads one number from JSON on stdin.
field() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

# group COUNT reads the ID of the group of so many letters.
group() { sed -n "s/.*\"group\":\"\([^\"]*\)\",\"count\":$1,.*/\1/p"; }

# until_letters N waits until the dead-letter queue has N letters and the queue none.
until_letters() {
	local left
	for _ in $(seq 300); do
		left=$(sluice depth orders -o json)
		case $left in *'"visible":0,"in_flight":0,'*'"dead_letters":'"$1",*) return ;; esac
		sleep 0.2
	done
	echo "WRONG: $left, and $1 dead letters were expected" >&2
	exit 1
}

serve() {
	say "start the server: sluice dev $*"
	command sluice --config /dev/null dev "$@" >exports 2>dev.log &
	dev=$!
	until grep -q 'msg=ready' dev.log; do
		kill -0 "$dev" || { cat dev.log >&2; exit 1; }
		sleep 0.1
	done
	. ./exports
}

queue=${QUEUE:-orders}
case $provider in
localstack) [ -n "${AWS_ENDPOINT_URL_SQS:-${AWS_ENDPOINT_URL:-}}" ] || serve --localstack --pubsub '' --sqs "${ADDR:-127.0.0.1:4566}" ;;
sqs) [ -n "${AWS_ENDPOINT_URL_SQS:-${AWS_ENDPOINT_URL:-}}" ] || serve --pubsub '' --sqs "${ADDR:-127.0.0.1:4566}" ;;
pubsub) [ -n "${PUBSUB_EMULATOR_HOST:-}" ] || serve --sqs '' --pubsub "${ADDR:-127.0.0.1:8085}" ;;
*) echo "there is no provider $provider" >&2 && exit 2 ;;
esac
# The server of "sluice dev" is SQS alone, without alarms.
if [ "$provider" = sqs ]; then
	echo 'queues: {orders: {alarms: null}}' >quiet.yaml
	configs+=(--config "$work/quiet.yaml")
fi
case $provider in
pubsub) export QUEUE_URL=gcppubsub://projects/letters/subscriptions/$queue ;;
*) export QUEUE_URL=awssqs:///$queue ;;
esac

# The handler has two bugs. Exit status 65 rejects a message with stderr as the reason. Each
# effect is a line in the file effects.
export EFFECTS=$work/effects
touch "$EFFECTS"
cat >handler.sh <<'HANDLER'
number=$(cat)
case $SLUICE_ATTR_TYPE in
refund) echo "no such account: $number" >&2; exit 65 ;;
print) echo "printer \"tray $number\" is gone" >&2; exit 65 ;;
esac
echo "$number" >>"$EFFECTS"
HANDLER

say "make the queue"
check "apply: exit status" "$(status sluice apply)" 0
check "doctor: exit status" "$(status sluice doctor)" 0

say "send 28 refunds and 12 print jobs, none of which the handler can do"
seq 1 28 | sluice send orders --lines --attr type=refund >/dev/null
seq 1 12 | sluice send orders --lines --attr type=print >/dev/null
sluice run orders --exec "sh handler.sh" --until-empty -o json 2>run.log >run.json
check "rejected" "$(field rejected <run.json)" 40
check "doctor: exit status, there are letters" "$(status sluice doctor)" 3

say "what is it?"
sluice letters orders
sluice letters orders -o json >groups
check "groups" "$(wc -l <groups | tr -d ' ')" 2
check "letters of the first group" "$(sed -n 1p groups | field count)" 28
check "letters of the second group" "$(sed -n 2p groups | field count)" 12
check "attempts of their messages" "$(sed -n 1p groups | field max_attempts)" 1
refunds=$(group 28 <groups) prints=$(group 12 <groups)
check "listed of the second group" "$(sluice letters orders --group 2 -o json | grep -c '"type":"print"')" 12

say "a consumer runs, and its handler is still broken: the canary comes back"
command sluice "${configs[@]}" run orders --exec "sh handler.sh" 2>run.log >/dev/null &
consumer=$!
canary() { sluice redrive orders --group "$refunds" --canary 3 --canary-wait 90s --canary-quiet 2s -o json >canary.json; }
check "canary: exit status, it came back" "$(status canary)" 3
check "canary: moved" "$(field moved <canary.json)" 3
until_letters 40
check "letters" "$(sluice depth orders -o json | field dead_letters)" 40

say "mend the refunds: the canary is acked, and the others follow"
sed -i.old '/^refund)/d' handler.sh
check "canary: exit status" "$(status canary)" 0
check "canary: moved" "$(field moved <canary.json)" 28
until_letters 12
check "effects" "$(sort -u effects | wc -l | tr -d ' ')" 28

say "nobody needs the prints: discard them"
check "discard without --yes: exit status" "$(status sluice discard orders --group "$prints" </dev/null)" 2
check "would be discarded" "$(sluice discard orders --group "$prints" --dry-run -o json | field would_discard)" 12
check "discarded" "$(sluice discard orders --group "$prints" --yes -o json | field discarded)" 12

say "all is well"
check "letters" "$(sluice depth orders -o json | field dead_letters)" 0
check "groups" "$(sluice letters orders -o json | wc -l | tr -d ' ')" 0
check "doctor: exit status" "$(status sluice doctor)" 0
