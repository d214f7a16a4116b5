package sqs

import (
	"crypto/rand"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

const (
	// attemptTime is how long SQS remembers an attempt ID.
	attemptTime = 5 * time.Minute
	maxLost     = 16
)

// lostReceives remembers receives from a FIFO queue whose answers were lost. The
// next receive repeats one of them by its attempt ID and so gets the messages that
// SQS granted it. Otherwise these would block their groups until their leases end.
type lostReceives struct {
	mu    sync.Mutex
	known []lostReceive // oldest first; at most maxLost
}

type lostReceive struct {
	id   string
	most int32
	at   time.Time
}

// resume makes in repeat the latest lost receive that asked for no more messages
// than in does. If there is none, it gives in an attempt ID of its own.
func (l *lostReceives) resume(in *awssqs.ReceiveMessageInput) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.known) - 1; i >= 0; i-- {
		r := l.known[i]
		if time.Since(r.at) >= attemptTime {
			l.known = l.known[i+1:] // those before it are older
			break
		}
		if r.most <= in.MaxNumberOfMessages {
			l.known = append(l.known[:i], l.known[i+1:]...)
			in.ReceiveRequestAttemptId, in.MaxNumberOfMessages = &r.id, r.most
			return
		}
	}
	id := rand.Text()
	in.ReceiveRequestAttemptId = &id
}

func (l *lostReceives) add(in *awssqs.ReceiveMessageInput, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = append(l.known, lostReceive{id: *in.ReceiveRequestAttemptId, most: in.MaxNumberOfMessages, at: at})
	if len(l.known) > maxLost {
		l.known = l.known[1:]
	}
}
