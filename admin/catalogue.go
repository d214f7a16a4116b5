package admin

import (
	"slices"

	"github.com/sluice-go/sluice/drivers/provision"
)

// The kinds of findings that admin judges from a queue's facts. Drivers recognize
// the others; see [provision.FaultKind].
const (
	lettersExpire provision.FaultKind = "letters-expire"
	dlqRetention  provision.FaultKind = "dlq-retention"
	leaseShort    provision.FaultKind = "visibility-short"
	orderingOff   provision.FaultKind = "ordering-off"
	noDeadLetter  provision.FaultKind = "no-dead-letter"
	attemptsOne   provision.FaultKind = "attempts-one"
	attemptsMany  provision.FaultKind = "attempts-many"
	attemptsRoom  provision.FaultKind = "attempts-headroom"
	oldestMessage provision.FaultKind = "oldest-message"
	letters       provision.FaultKind = "letters-present"
	noAlarm       provision.FaultKind = "no-alarm"
	drift         provision.FaultKind = "drift"
)

// An Entry is a kind of finding.
type Entry struct {
	// Kind is the fault that it stands for. Two kinds can share an ID.
	Kind provision.FaultKind
	// ID is that of its findings. It is stable.
	ID       string
	Severity Severity
	// The fault in a few words, and the reason why it matters.
	What, Why string
	// Remedy is the kind of its findings' remedy, and Setting what goes with it.
	// Empty is nothing, or depends on the facts.
	Remedy  RemedyKind
	Setting string
}

// Catalogue returns every kind of finding, the gravest first.
func Catalogue() []Entry { return slices.Clone(catalogue) }

// catalogue has the entries in the order of the documentation. docs/doctor.md is
// generated from it.
var catalogue = []Entry{
	{lettersExpire, "letters-expire", Critical, "a dead letter is in the last quarter of its time",
		"its job is lost for good when it expires", Redrive, ""},
	{dlqRetention, "dlq-retention", Critical, "letters expire no later than messages do",
		"a message that failed is lost before anybody looks, earlier than one that nobody handled", ChangeSpec, ""},
	{provision.DeadLetterMissing, "dlq-missing", Critical, "the dead-letter queue or topic that is named does not exist",
		"the provider cannot move messages there: poison messages are retried until they expire, and are then lost", ApplySpec, ""},
	{provision.DeadLetterUnread, "dlq-no-subscription", Critical, "no subscription keeps the letters of the dead-letter topic",
		"a letter that is published to a topic without a subscription is lost immediately", ApplySpec, ""},
	{provision.GrantsMissing, "grants-missing", Critical, "Pub/Sub's service agent may not publish letters, or may not acknowledge the messages that it forwards",
		"poison messages are not dead-lettered: they are retried until they expire", ApplySpec, ""},
	{provision.DeadLetterMismatch, "dlq-kind", Critical, "one of the queue and its dead-letter queue is FIFO and the other is not",
		"SQS moves no message between the two kinds", ApplySpec, ""},
	{provision.DeadLetterUnordered, "dlq-kind", Major, "the queue keeps groups in order, and the subscription of its dead letters does not",
		"letters are read, and brought back, out of their order", ReadPlan, ""},
	{leaseShort, "visibility-short", Critical, "handlers outlast their lease without a heartbeat (`--p99`)",
		"messages are delivered again while they are still handled: their effects are doubled", KeepLeases, "visibility_timeout"},
	{provision.TopicMissing, "topic-missing", Critical, "the subscription's topic was deleted",
		"messages that are sent reach nobody, and a subscription cannot be given another topic", ReadPlan, ""},
	{orderingOff, "ordering-off", Critical, "the configuration says fifo, and the queue does not keep groups in order",
		"messages of one group are handled in any order, and at the same time", ReadPlan, ""},
	{noDeadLetter, "no-dead-letter", Major, "the queue has no dead-letter policy",
		"a poison message is retried until it expires, and is then lost silently; Pub/Sub does not count attempts either", ChangeSpec, "dead_letter"},
	{attemptsOne, "attempts-one", Major, "one failure makes a dead letter",
		"a consumer that stops, or loses its lease once, makes dead letters of good messages", ChangeSpec, "dead_letter.max_attempts: 5"},
	{attemptsMany, "attempts-many", Major, "a message is delivered more than a hundred times, or without a limit",
		"a poison message is retried almost for ever", ChangeSpec, "dead_letter.max_attempts: 5"},
	{attemptsRoom, "attempts-headroom", Major, "the native limit leaves no room above the handlers' own (`--max-attempts`)",
		"the provider counts every delivery, also to a consumer that crashed or stopped, or to somebody who looked: a message is dead-lettered before its handlers have given up, and without a reason",
		ChangeSpec, ""},
	{provision.NoRetryPolicy, "no-retry-policy", Major, "a message that fails is delivered again immediately",
		"a fault that lasts becomes a storm, and uses up all attempts within seconds", ChangeSpec, "retry: {min: 10s, max: 10m}"},
	{oldestMessage, "oldest-message", Major, "the oldest message is beyond half of the retention",
		"it expires, and is lost, if it is not handled in time", ConsumeMore, "retention"},
	{letters, "letters-present", Major, "the queue has dead letters",
		"each is a job that was not done", PeekAndRedrive, ""},
	{provision.Expires, "subscription-expires", Major, "a subscription that nobody uses for a while is deleted",
		"a queue that is quiet, or whose consumers are paused, disappears with all of its messages", ApplySpec, ""},
	{provision.ShortPolling, "short-polling", Minor, "the queue's long poll is off",
		"consumers that do not ask for a wait themselves poll short: they pay for empty answers, which do not mean that the queue is empty", ApplySpec, ""},
	{provision.NoAllowPolicy, "no-allow-policy", Minor, "any queue may fill the dead-letter queue, or this one may not",
		"any queue of the account can fill a dead-letter queue without a redrive allow policy, and SQS refuses the redrive policy of a queue that such a policy does not name", ApplySpec, ""},
	{provision.NoRedriveFilter, "no-redrive-filter", Minor, "redrives for other subscriptions reach this one",
		"consumers of Sluice skip the redrives of other subscriptions, and other consumers handle them twice", ReadPlan, ""},
	{noAlarm, "no-alarm", Minor, "no alarm watches the dead letters",
		"dead letters arrive and nobody notices", ChangeSpec, "alarms.dead_letters: 1"},
	{drift, "drift", Minor, "the queue is not as its configuration says",
		"the next apply undoes changes that were made by hand, and the configuration is not in force until then", ReadPlan, ""},
	{provision.Unencrypted, "encryption-off", Minor, "messages are stored in the clear",
		"anybody who reads the provider's storage reads the messages", ApplySpec, ""},
}

// entry returns the entry of a kind. A kind that a driver made up is a finding
// too: nothing that is wrong is hidden.
func entry(k provision.FaultKind) Entry {
	i := slices.IndexFunc(catalogue, func(e Entry) bool { return e.Kind == k })
	if i < 0 {
		return Entry{Kind: k, ID: string(k), Severity: Major, Remedy: ReadPlan}
	}
	return catalogue[i]
}
