package admin

import (
	"slices"

	"github.com/sluice-go/sluice/drivers/provision"
)

// The kinds of findings that admin judges from a queue's facts. Drivers recognize
// the others; see [provision.FaultKind].
const (
	lettersExpire provision.FaultKind = "letters-expire"
	ownLetters    provision.FaultKind = "dlq-self"
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

// An entry is a kind of finding.
type entry struct {
	// Kind is the fault that it stands for. Two kinds can share an ID.
	Kind provision.FaultKind
	// ID identifies its findings. It is stable.
	ID       string
	Severity Severity
	// The fault in a few words, and the reason why it matters.
	What, Why string
	// Remedy is the kind of remedy of its findings, and Setting its argument.
	// Empty means none, or one that depends on the facts.
	Remedy  RemedyKind
	Setting string
}

// catalogue has every kind of finding, the gravest first. docs/doctor.md is generated
// from it.
var catalogue = []entry{
	{lettersExpire, "letters-expire", Critical, "a dead letter is in the last quarter of its time",
		"its job is lost for good when it expires", Redrive, ""},
	{dlqRetention, "dlq-retention", Critical, "letters expire no later than messages do",
		"a message that failed is lost before anybody looks, earlier than one that nobody handled", ChangeSpec, ""},
	{provision.DeadLetterMissing, "dlq-missing", Critical, "the dead-letter queue or topic that is named does not exist",
		"the provider cannot move messages there: poison messages are retried until they expire, and are then lost", ApplySpec, ""},
	{ownLetters, "dlq-self", Critical, "the queue is its own dead-letter queue",
		"a poison message never ends: consumers treat the queue as one without a dead-letter queue, and other programs may handle the message for ever", ChangeSpec, "dead_letter.name"},
	{provision.DeadLetterUnread, "dlq-no-subscription", Critical, "no subscription keeps the letters of the dead-letter topic",
		"a letter that is published to a topic without a subscription is lost immediately", ApplySpec, ""},
	{provision.GrantsMissing, "grants-missing", Critical, "Pub/Sub's service agent may not publish letters, or may not acknowledge the messages that it forwards",
		"poison messages are not dead-lettered: they are retried until they expire", ApplySpec, ""},
	{provision.DeadLetterMismatch, "dlq-kind", Critical, "one of the queue and its dead-letter queue is FIFO and the other is not",
		"SQS moves no message between the two kinds", ApplySpec, ""},
	{provision.DeadLetterUnordered, "dlq-kind", Major, "the queue keeps groups in order, and the subscription of its dead letters does not",
		"letters are read, and brought back, out of their order", ReadPlan, ""},
	{leaseShort, "visibility-short", Critical, "handlers outlast their lease without a heartbeat (`--p99`)",
		"messages are redelivered while they are still being handled, which doubles their effects", KeepLeases, "visibility_timeout"},
	{provision.TopicMissing, "topic-missing", Critical, "the subscription's topic was deleted",
		"new messages reach no subscriber, and a subscription cannot change its topic", ReadPlan, ""},
	{orderingOff, "ordering-off", Critical, "the configuration says fifo, but the queue is not ordered",
		"messages of one group are handled concurrently and in any order", ReadPlan, ""},
	{noDeadLetter, "no-dead-letter", Major, "the queue has no dead-letter policy",
		"a poison message is retried until it expires and is silently lost; Pub/Sub does not count attempts without one", ChangeSpec, "dead_letter"},
	{attemptsOne, "attempts-one", Major, "a message becomes a dead letter after one failure",
		"a consumer that stops or loses a lease dead-letters good messages", ChangeSpec, "dead_letter.max_attempts: 5"},
	{attemptsMany, "attempts-many", Major, "the limit of attempts is above a hundred, or missing",
		"a poison message is retried practically forever", ChangeSpec, "dead_letter.max_attempts: 5"},
	{attemptsRoom, "attempts-headroom", Major, "the queue's limit of attempts is not above that of the handlers (`--max-attempts`)",
		"the provider also counts deliveries to consumers that crashed or stopped, and to sluice peek; it may dead-letter a message before the handlers give up, and without a reason",
		ChangeSpec, ""},
	{provision.NoRetryPolicy, "no-retry-policy", Major, "a failed message is redelivered immediately",
		"a persistent fault causes a retry storm that uses up all attempts within seconds", ChangeSpec, "retry: {min: 10s, max: 10m}"},
	{oldestMessage, "oldest-message", Major, "the oldest message has passed half of the retention",
		"the message is lost if it expires before it is handled", ConsumeMore, "retention"},
	{letters, "letters-present", Major, "the queue has dead letters",
		"each dead letter is a job that was not done", PeekAndRedrive, ""},
	{provision.Expires, "subscription-expires", Major, "Pub/Sub deletes the subscription when it is unused for a while",
		"a quiet queue, or one whose consumers are paused, is deleted with all its messages", ApplySpec, ""},
	{provision.ShortPolling, "short-polling", Minor, "the queue's long poll is off",
		"consumers that do not set a wait time poll short: they pay for empty responses, which do not prove that the queue is empty", ApplySpec, ""},
	{provision.NoAllowPolicy, "no-allow-policy", Minor, "the dead-letter queue accepts letters from any queue, or does not accept those of this queue",
		"without a redrive allow policy any queue of the account can fill the dead-letter queue; with one that omits this queue, SQS refuses this queue's redrive policy", ApplySpec, ""},
	{provision.NoRedriveFilter, "no-redrive-filter", Minor, "the subscription receives the redrives of other subscriptions",
		"consumers that do not use Sluice handle such messages twice", ReadPlan, ""},
	{noAlarm, "no-alarm", Minor, "no alarm watches the dead letters",
		"dead letters arrive unnoticed", ChangeSpec, "alarms.dead_letters: 1"},
	{drift, "drift", Minor, "the queue differs from its configuration",
		"the configuration is not in force, and the next apply undoes changes made by hand", ReadPlan, ""},
	{provision.Unencrypted, "encryption-off", Minor, "messages are stored unencrypted",
		"anyone with access to the provider's storage can read the messages", ApplySpec, ""},
}

// entryOf returns the entry of a kind. A kind that a driver made up is a finding
// too: nothing that is wrong is hidden.
func entryOf(k provision.FaultKind) entry {
	i := slices.IndexFunc(catalogue, func(e entry) bool { return e.Kind == k })
	if i < 0 {
		return entry{Kind: k, ID: string(k), Severity: Major, Remedy: ReadPlan}
	}
	return catalogue[i]
}
