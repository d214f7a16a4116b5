#!/usr/bin/env bash
# The life of some poison messages, as an on-call engineer sees it:
#
#     story.sh localstack     on SQS, as LocalStack has it
#     story.sh sqs            on SQS, as "sluice dev" has it
#     story.sh pubsub         on the Pub/Sub fake of "sluice dev"
#
# If AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL or PUBSUB_EMULATOR_HOST is set, the server
# there is used in place of one that the script starts. It needs the command sluice on the PATH
# (go build -o ~/bin/sluice ./cmd/sluice), tells what it does, checks every number,
# and ends with 1 at the first that is wrong.
set -euo pipefail

provider=${1:?which provider: localstack, sqs or pubsub}
config=$(cd "$(dirname "$0")" && pwd)/sluice.yaml
work=$(mktemp -d)
dev= # the process id of "sluice dev", where the script has started one
finish() {
	if [ -n "$dev" ]; then
		kill -INT "$dev"
		wait "$dev" || true
	fi
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
# The server of "sluice dev" is SQS alone: nobody there could sound an alarm.
if [ "$provider" = sqs ]; then
	echo 'queues: {orders: {alarms: null}}' >quiet.yaml
	configs+=(--config "$work/quiet.yaml")
fi
case $provider in
pubsub) export QUEUE_URL=gcppubsub://projects/story/subscriptions/$queue ;;
*) export QUEUE_URL=awssqs:///$queue ;;
esac

# The handler, with a bug: it has not heard of refunds. What it has done is a line
# in the file effects. Exit status 65 says that a retry would change nothing.
export EFFECTS=$work/effects
touch "$EFFECTS"
cat >handler.sh <<'HANDLER'
read -r kind number || true
case $kind in
order) echo "$kind $number" >>"$EFFECTS" ;;
*) echo "no such kind: $kind (number $number)" >&2; exit 65 ;;
esac
HANDLER

say "make the queue, its dead-letter queue, the policies between them"
check "plan: exit status, there are changes" "$(status sluice plan)" 3
check "apply: exit status" "$(status sluice apply)" 0
check "apply once more: changes" "$(sluice apply -o json | wc -l | tr -d ' ')" 0
check "plan: exit status, nothing to do" "$(status sluice plan)" 0
check "doctor: exit status, the queue is sound" "$(status sluice doctor)" 0

say "send 100 messages, of which 7 are poison for the handler"
for i in $(seq 1 100); do
	if [ $((i % 14)) = 0 ]; then echo "refund $i"; else echo "order $i"; fi
done >messages
check "poison" "$(grep -c refund messages)" 7
check "sent" "$(sluice send orders --lines -o json <messages | grep -c '"id":')" 100

say "run the handler until the queue is empty"
sluice run orders --exec "sh handler.sh" --until-empty -o json 2>run.log >run.json
cat run.json
check "acked" "$(field acked <run.json)" 93
check "rejected" "$(field rejected <run.json)" 7
check "effects" "$(sort -u effects | wc -l | tr -d ' ')" 93

say "look at the dead letters"
sluice peek orders --dead -n 10 -o json >letters
sed -n 's/.*"reason":"\([^"]*\)".*/   \1/p' letters
check "letters" "$(grep -c '"id":' letters)" 7
check "letters that tell their reason" "$(grep -c '"reason":"[^"]*no such kind: refund' letters)" 7
check "depth of the dead-letter queue" "$(sluice depth orders -o json | field dead_letters)" 7

say "doctor complains"
check "doctor: exit status" "$(status sluice doctor)" 3
sluice doctor -o json >findings || true
check "findings" "$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' findings | tr '\n' ' ')" "letters-present "
check "findings that say: sluice redrive" "$(grep -c 'sluice redrive orders' findings)" 1

say "mend the handler, and bring the letters back"
sed -i.old 's/^order)/order | refund)/' handler.sh
sluice redrive orders --dry-run -o json | tail -n 1 >dry.json
check "would be brought back" "$(field would_move <dry.json)" 7
sluice redrive orders -o json | tail -n 1 >redrive.json
cat redrive.json
check "brought back" "$(field moved <redrive.json)" 7
case $provider in
pubsub) ;; # Pub/Sub has no move of its own: Sluice carries them
*) check "by the provider itself" "$(grep -c '"mode":"native"' redrive.json)" 1 ;;
esac

say "run the handler again"
sluice run orders --exec "sh handler.sh" --until-empty -o json 2>run.log >run.json
cat run.json
check "acked" "$(field acked <run.json)" 7
check "rejected" "$(field rejected <run.json)" 0
check "effects" "$(sort -u effects | wc -l | tr -d ' ')" 100

say "all is well"
check "depth of the dead-letter queue" "$(sluice depth orders -o json | field dead_letters)" 0
check "doctor: exit status" "$(status sluice doctor)" 0
