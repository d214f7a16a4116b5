package drivers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/internal/test/broken"
)

func TestErrorNamesEverything(t *testing.T) {
	err := &drivers.Error{
		Code: drivers.NotFound, Queue: "orders", Op: "receive",
		Err: errors.New("QueueDoesNotExist"), Remedy: "create it",
	}
	require.EqualError(t, err, `queue "orders": receive: not found: QueueDoesNotExist (create it)`)
}

func TestErrorIsItsCodeAndItsCause(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("around: %w", &drivers.Error{Code: drivers.Throttled, Err: cause})
	require.ErrorIs(t, err, drivers.ErrThrottled)
	require.ErrorIs(t, err, cause)
	require.NotErrorIs(t, err, drivers.ErrTransient)
	require.Equal(t, drivers.Throttled, drivers.CodeOf(err))
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want drivers.Code
	}{
		{"nil", nil, drivers.Unclassified},
		{"plain", errors.New("x"), drivers.Unclassified},
		{"context", context.Canceled, drivers.Unclassified},
		{"bare sentinel", drivers.ErrClosed, drivers.Closed},
		{"wrapped sentinel", fmt.Errorf("x: %w", drivers.ErrDenied), drivers.Denied},
		{"outermost wins", &drivers.Error{Code: drivers.Invalid, Err: &drivers.Error{Code: drivers.Denied}}, drivers.Invalid},
	} {
		require.Equal(t, c.want, drivers.CodeOf(c.err), c.name)
	}
}

func TestOnlySomeCodesAreRetryable(t *testing.T) {
	retryable := map[drivers.Code]bool{drivers.Unclassified: true, drivers.Transient: true, drivers.Throttled: true}
	for c := drivers.Unclassified; c <= drivers.Closed; c++ {
		require.Equal(t, retryable[c], c.Retryable(), c.Error())
	}
	require.Equal(t, "code(99)", drivers.Code(99).Error())
}

func TestWrapOnceAndNeverTheCallersOwnEnd(t *testing.T) {
	ctx := context.Background()
	require.NoError(t, drivers.Wrap(ctx, drivers.Denied, "q", "op", nil, ""))

	once := drivers.Wrap(ctx, drivers.Denied, "q", "op", errors.New("x"), "")
	require.Same(t, once, drivers.Wrap(ctx, drivers.Invalid, "q", "op", once, ""))

	ended, cancel := context.WithCancel(ctx)
	cancel()
	err := drivers.Wrap(ended, drivers.Transient, "q", "receive", errors.New("connection closed"), "")
	require.Equal(t, context.Canceled, err)
}

func TestErrorTypesAreKinds(t *testing.T) {
	for _, c := range []struct {
		code drivers.Code
		err  error
		want string
	}{
		{drivers.Throttled, nil, "throttled"},
		{drivers.Denied, &net.OpError{Op: "dial", Err: errors.New("refused")}, "denied"},
		{drivers.NotFound, nil, "not_found"},
		{drivers.LeaseLost, nil, "lease_lost"},
		{drivers.Transient, errors.New("HTTP 500"), "transient"},
		{drivers.Transient, fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), "unreachable"},
		{drivers.Transient, &net.DNSError{Err: "no such host"}, "unreachable"},
		{drivers.Transient, context.DeadlineExceeded, "timeout"},
		{drivers.Unclassified, nil, "unclassified"},
	} {
		require.Equal(t, c.want, (&drivers.Error{Code: c.code, Err: c.err}).ErrorType())
	}
}

// Drivers that others write, and what they are given, have such errors.
func TestErrorsThatCannotBeWalkedHaveNoCode(t *testing.T) {
	for _, bad := range []error{broken.OwnCause{}, broken.OwnCauses{}, (*broken.TypedNil)(nil), fmt.Errorf("around: %w", broken.OwnCause{})} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if drivers.CodeOf(bad) != drivers.Unclassified {
				t.Errorf("%T has the code %v", bad, drivers.CodeOf(bad))
			}
			err := drivers.Wrap(context.Background(), drivers.Throttled, "orders", "receive", bad, "")
			if drivers.CodeOf(err) != drivers.Throttled {
				t.Errorf("%T has the code %v in an error with one", bad, drivers.CodeOf(err))
			}
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%T is walked for ever", bad)
		}
	}
}
