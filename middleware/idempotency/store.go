package idempotency

import (
	"context"
	"errors"
	"time"
)

// ErrClaimLost reports that a claim's token is not the key's owner any more: it
// expired and another worker took it over, or finished. It is also the cause
// with which a handler's context is canceled when that is found while it runs.
var ErrClaimLost = errors.New("idempotency: the claim was lost to another worker")

// State is the state of a key in a [Store].
type State uint8

// The states.
const (
	// Claimed: the key was free, and is now the caller's.
	Claimed State = iota + 1
	// InProgress: another token holds the key.
	InProgress
	// Done: the work was done.
	Done
)

// Claim is the answer to [Store.Claim].
type Claim struct {
	State State
	// Remaining is how long the other's claim lasts, where State is InProgress.
	Remaining time.Duration
	// Result is the result that was stored with the mark, if State is Done.
	Result []byte
}

// A Store keeps the state of keys. Its methods may be called concurrently, from
// several processes if the store is shared. Times are counted by the store's
// own clock if it has one. Keys are valid UTF-8 without control characters,
// of at most 255 bytes; tokens are short ASCII.
//
// Every method is safe to repeat after an error whose outcome is not known: the
// same token claims, completes and releases again with the same answer.
type Store interface {
	// Claim takes the key for token until ttl has passed, if it is free: not
	// known, expired, or held by the same token. Otherwise it reports who is
	// before it.
	Claim(ctx context.Context, key, token string, ttl time.Duration) (Claim, error)
	// Renew has the claim end ttl from now. It returns ErrClaimLost if the
	// key is not token's.
	Renew(ctx context.Context, key, token string, ttl time.Duration) error
	// Complete marks the key as done for ttl, with a result that may be nil. It
	// returns ErrClaimLost if the key is not token's; a claim that expired
	// and that nobody took over is still token's.
	Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error
	// Release frees the key. If it is not token's, it does nothing and
	// returns nil.
	Release(ctx context.Context, key, token string) error
}
