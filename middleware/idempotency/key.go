package idempotency

import (
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency/internal/policy"
)

// ErrNoKey is the reason with which a message without a key is rejected.
var ErrNoKey = policy.ErrNoKey

// ByDedupeID is the default key: the message's DedupeID, or the message ID if it is
// empty.
//
// DedupeID is the sender's dedupe ID, or the identity that package producer gave
// the message before its first try. It is the same in every redelivery, for every
// try of the producer, in the dead-letter queue and after a redrive.
//
// It is empty if a program without Sluice sent the message without one (on a FIFO
// queue with content-based deduplication too). The message ID is then the same in
// every redelivery, and in the letters and the selective redrives of Sluice. It is
// another if that program sends the message again, after a native redrive of SQS
// and in what Pub/Sub itself forwards to a dead-letter topic: the work is then done
// again. For such messages use an attribute, or a function of the body that finds what
// the job is about.
func ByDedupeID(m *handler.Message) string { return policy.ByDedupeID(m) }
