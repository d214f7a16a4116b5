package pubsub_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/handler"
)

// spy notes the settling calls as they reach the server, one line a call.
type spy struct {
	mu    sync.Mutex
	calls []string
	ids   [][]string
}

func (s *spy) fault(_ context.Context, _ string, req any, next func() (any, error)) (any, error) {
	s.mu.Lock()
	switch r := req.(type) {
	case *pubsubpb.AcknowledgeRequest:
		s.calls, s.ids = append(s.calls, fmt.Sprintf("ack %d", len(r.AckIds))), append(s.ids, r.AckIds)
	case *pubsubpb.ModifyAckDeadlineRequest:
		s.calls, s.ids = append(s.calls, fmt.Sprintf("modack(%d) %d", r.AckDeadlineSeconds, len(r.AckIds))), append(s.ids, r.AckIds)
	case *pubsubpb.PublishRequest:
		s.calls, s.ids = append(s.calls, fmt.Sprintf("publish %d to %s", len(r.Messages), r.Topic)), append(s.ids, nil)
	}
	s.mu.Unlock()
	return next()
}

func (s *spy) sorted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.calls))
}

func spying(t *testing.T) *spy {
	s := &spy{}
	withFault(t, s.fault)
	return s
}

// fetched makes a queue with n messages in flight.
func fetched(t *testing.T, q pubsubtest.Queue, n int) (pubsubtest.Queue, drivers.Source, []drivers.Delivery) {
	t.Helper()
	q = newQueue(t, q)
	ms := make([]*handler.Message, n)
	for i := range ms {
		ms[i] = text(fmt.Sprint(i))
	}
	send(t, openSink(t, q), ms...)
	s := openSource(t, q, "")
	return q, s, receive(t, s, n)
}

func TestAMixedBatchIsOneCallOfAKind(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{MaxAttempts: 5}, 10)
	calls := spying(t)
	retry := func(d drivers.Delivery, delay time.Duration) drivers.Settlement {
		return drivers.Settlement{Receipt: d.Receipt, Message: d.Message, Delay: delay, Delayed: true}
	}
	settle(t, s,
		act(ds[0], handler.ActionAck), act(ds[1], handler.ActionDrop), act(ds[2], handler.ActionAck),
		act(ds[3], handler.ActionRetry), retry(ds[4], 0), // both are nacks
		retry(ds[5], 30*time.Second), retry(ds[6], 29*time.Second+time.Millisecond), // both are 30 s
		retry(ds[7], time.Millisecond), // rounded up: no nack
		act(ds[8], handler.ActionDeadLetter), act(ds[9], handler.ActionDeadLetter),
	)
	require.Equal(t, []string{
		"ack 2", // after the letters
		"ack 3",
		"modack(0) 2",
		"modack(1) 1",
		"modack(30) 2",
		"publish 2 to " + q.DeadLetter().Topic(),
	}, calls.sorted())
}

func TestExtensionsAreOneCallALength(t *testing.T) {
	_, s, ds := fetched(t, pubsubtest.Queue{}, 4)
	calls := spying(t)
	errs := s.Extend(t.Context(), []drivers.Extension{
		{Receipt: ds[0].Receipt, By: 60 * time.Second}, {Receipt: ds[1].Receipt, By: 59*time.Second + 1},
		{Receipt: ds[2].Receipt, By: 600 * time.Second}, {Receipt: ds[3].Receipt, By: 1},
	})
	require.Nil(t, errs)
	require.Equal(t, []string{"modack(1) 1", "modack(60) 2", "modack(600) 1"}, calls.sorted())
}

func TestWhatCannotBeSettledIsRefusedAlone(t *testing.T) {
	_, s, ds := fetched(t, pubsubtest.Queue{}, 2)
	calls := spying(t)
	errs := s.Settle(t.Context(), []drivers.Settlement{
		{Receipt: "", Action: handler.ActionAck},
		{Receipt: ds[0].Receipt, Delay: 601 * time.Second, Delayed: true},
		{Receipt: ds[0].Receipt, Delay: -1, Delayed: true},
		act(ds[1], handler.ActionAck),
	})
	require.Len(t, errs, 4)
	for i := range 3 {
		require.ErrorIs(t, errs[i], drivers.ErrInvalid)
	}
	require.ErrorContains(t, errs[1], "up to 10m0s")
	require.NoError(t, errs[3])
	require.Equal(t, []string{"ack 1"}, calls.sorted())

	// An extension by nothing would be a nack.
	errs = s.Extend(t.Context(), []drivers.Extension{{Receipt: ds[0].Receipt}, {Receipt: ds[0].Receipt, By: time.Hour}, {By: time.Second}})
	require.Len(t, errs, 3)
	for _, err := range errs {
		require.ErrorIs(t, err, drivers.ErrInvalid)
	}
	require.Len(t, calls.sorted(), 1)
}

func TestManyAckIDsAreCutIntoRequests(t *testing.T) {
	_, s, _ := fetched(t, pubsubtest.Queue{}, 1)
	calls := spying(t)
	ss := make([]drivers.Settlement, 5001)
	for i := range ss {
		ss[i] = drivers.Settlement{Receipt: fmt.Sprintf("short-%d", i), Action: handler.ActionAck}
	}
	require.Nil(t, s.Settle(t.Context(), ss))
	require.Equal(t, []string{"ack 1", "ack 2500", "ack 2500"}, calls.sorted())

	// The limit of a request is 512 KiB besides.
	calls = spying(t)
	es := make([]drivers.Extension, 2500)
	for i := range es {
		es[i] = drivers.Extension{Receipt: fmt.Sprintf("long-%d-", i) + strings.Repeat("x", 400), By: time.Minute}
	}
	require.Nil(t, s.Extend(t.Context(), es))
	n := 0
	for _, ids := range calls.ids {
		n += len(ids)
		size := 0
		for _, id := range ids {
			size += len(id) + 3
		}
		require.LessOrEqual(t, size, 512<<10)
	}
	require.Equal(t, 2500, n)
	require.Len(t, calls.ids, 3)
}

func TestAMalformedAckIDSpoilsNoOther(t *testing.T) {
	q, s, ds := fetched(t, pubsubtest.Queue{}, 9)
	ss := make([]drivers.Settlement, 0, 10)
	for _, d := range ds {
		ss = append(ss, act(d, handler.ActionAck))
	}
	ss = slices.Insert(ss, 4, drivers.Settlement{Receipt: "mal formed", Action: handler.ActionAck})
	errs := s.Settle(t.Context(), ss)
	require.Len(t, errs, 10)
	for i, err := range errs {
		if i == 4 {
			require.ErrorIs(t, err, drivers.ErrInvalid)
			continue
		}
		require.NoError(t, err)
	}
	require.Zero(t, depth(t, q))
}

// exactlyOnce answers for ack IDs as the service does where delivery is exactly
// once.
func exactlyOnce(t *testing.T, code codes.Code, failed map[string]string) error {
	st, err := status.New(code, "some acknowledgement ids in the request were invalid").
		WithDetails(&errdetails.ErrorInfo{Reason: "EXACTLY_ONCE_ACKID_FAILURE", Domain: "pubsub.googleapis.com", Metadata: failed})
	require.NoError(t, err)
	return st.Err()
}

func TestExactlyOnceErrorsAreReportedForEachAckID(t *testing.T) {
	_, s, ds := fetched(t, pubsubtest.Queue{ExactlyOnce: true}, 4)
	calls := 0
	withFault(t, func(_ context.Context, method string, req any, next func() (any, error)) (any, error) {
		if method != "Acknowledge" {
			return next()
		}
		if calls++; calls > 1 {
			require.Equal(t, []string{ds[3].Receipt}, req.(*pubsubpb.AcknowledgeRequest).AckIds, "what was not named is settled again")
			return next()
		}
		return nil, exactlyOnce(t, codes.FailedPrecondition, map[string]string{
			ds[0].Receipt: "PERMANENT_FAILURE_INVALID_ACK_ID",
			ds[1].Receipt: "TRANSIENT_FAILURE_UNORDERED_ACK_ID",
			ds[2].Receipt: "PERMANENT_FAILURE_OF_ANOTHER_KIND",
		})
	})
	errs := s.Settle(t.Context(), []drivers.Settlement{
		act(ds[0], handler.ActionAck), act(ds[1], handler.ActionAck), act(ds[2], handler.ActionAck), act(ds[3], handler.ActionAck),
	})
	require.Len(t, errs, 4)
	require.ErrorIs(t, errs[0], drivers.ErrLeaseLost)
	require.ErrorIs(t, errs[1], drivers.ErrTransient)
	require.ErrorIs(t, errs[2], drivers.ErrInvalid)
	require.NoError(t, errs[3])
	require.Equal(t, 2, calls)
}

func TestExactlyOnceErrorsOfOthersFailAll(t *testing.T) {
	_, s, ds := fetched(t, pubsubtest.Queue{ExactlyOnce: true}, 2)
	withFault(t, func(_ context.Context, method string, _ any, next func() (any, error)) (any, error) {
		if method == "ModifyAckDeadline" {
			return nil, exactlyOnce(t, codes.Unavailable, map[string]string{"somebody else's": "PERMANENT_FAILURE_INVALID_ACK_ID"})
		}
		return next()
	})
	errs := s.Extend(t.Context(), []drivers.Extension{{Receipt: ds[0].Receipt, By: time.Minute}, {Receipt: ds[1].Receipt, By: time.Minute}})
	require.Len(t, errs, 2)
	for _, err := range errs {
		require.ErrorIs(t, err, drivers.ErrTransient)
	}
}

func TestAnOutageFailsEachItem(t *testing.T) {
	_, s, ds := fetched(t, pubsubtest.Queue{}, 2)
	withFault(t, func(context.Context, string, any, func() (any, error)) (any, error) {
		return nil, status.Error(codes.Unavailable, "away")
	})
	errs := s.Settle(t.Context(), []drivers.Settlement{act(ds[0], handler.ActionAck), act(ds[1], handler.ActionRetry)})
	require.Len(t, errs, 2)
	for _, err := range errs {
		require.ErrorIs(t, err, drivers.ErrTransient)
	}
}

// A message that is retried with a delay comes back when the delay is over.
func TestDelayOfARetry(t *testing.T) {
	t.Parallel()
	_, s, ds := fetched(t, pubsubtest.Queue{MaxAttempts: 5}, 1)
	require.Equal(t, 1, ds[0].Message.Attempt)
	began := time.Now()
	settle(t, s, drivers.Settlement{Receipt: ds[0].Receipt, Message: ds[0].Message, Delay: 1500 * time.Millisecond, Delayed: true})
	again := receive(t, s, 1)[0]
	require.GreaterOrEqual(t, time.Since(began), 1500*time.Millisecond)
	require.Equal(t, 2, again.Message.Attempt)
}
