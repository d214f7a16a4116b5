package claimcheck_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
)

// TestThroughAQueue sends messages that the queue would refuse through a
// consumer whose verdicts are of every kind.
func TestThroughAQueue(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	queues := new(mem.Opener)
	defer queues.Close()
	b := inMemory(t, "large")
	check := newCheck(t, b, nil)
	sink, err := queues.Sink(ctx, "orders", nil)
	require.NoError(t, err)
	const limit = 1 << 20
	p, err := producer.New(sink, &producer.Config{Prepare: []func(context.Context, *handler.Message) error{check.Prepare}})
	require.NoError(t, err)
	defer p.Close()

	large := func(name string) *handler.Message {
		return &handler.Message{Body: append([]byte(name+" "), body(limit)...), Attributes: map[string]string{"name": name}}
	}
	var ms []*handler.Message
	for _, name := range []string{"ack", "retry", "drop", "reject"} {
		ms = append(ms, large(name))
	}
	ms = append(ms, &handler.Message{Body: []byte("small "), Attributes: map[string]string{"name": "small"}})
	require.NoError(t, p.Send(ctx, ms...))
	require.Len(t, ms[0].Body, limit+4, "the caller's message is left as it is")
	require.Len(t, keys(t, b), 4)

	deleter, err := claimcheck.NewDeleter(check, nil)
	require.NoError(t, err)
	source, err := queues.Source(ctx, "orders", nil)
	require.NoError(t, err)
	h := handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
		name := m.Attribute("name")
		if !bytes.HasPrefix(m.Body, []byte(name+" ")) || name != "small" && len(m.Body) != limit+1+len(name) {
			return fmt.Errorf("a strange body of %d bytes", len(m.Body))
		}
		if m.Origin().Queue != "orders" || m.Lease().Deadline().IsZero() {
			return errors.New("origin or lease got lost on the way")
		}
		switch name {
		case "retry":
			return handler.RetryAfter(time.Hour, errors.New("later"))
		case "drop":
			return handler.Drop(errors.New("stale"))
		case "reject":
			return handler.Reject(errors.New("wrong"))
		}
		return nil
	})
	settled := &settledEvents{left: len(ms), done: make(chan struct{})}
	c, err := consumer.New(source, handler.Chain(h, check.Middleware), &consumer.Config{Observers: []handler.Observer{deleter, settled}})
	require.NoError(t, err)
	runs, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(runs) }()
	select {
	case <-settled.done:
	case <-ctx.Done():
	}
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, deleter.Close())
	require.NoError(t, deleter.Close())
	require.Equal(t, map[string]string{"ack": "ack", "small": "ack", "drop": "drop", "reject": "dead_letter", "retry": "retry"}, settled.verdicts)
	require.Len(t, keys(t, b), 2, "what is retried and what is a dead letter keep their bodies")

	// The dead letter still leads to its body.
	dead, err := queues.Source(ctx, "orders-dlq", nil)
	require.NoError(t, err)
	defer dead.Close()
	ds, err := dead.Receive(ctx, 1, time.Second)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	var got handled
	require.NoError(t, check.Middleware(&got).Handle(ctx, ds[0].Message))
	require.True(t, bytes.HasPrefix(got.messages[0].Body, []byte("reject ")))
}

// settledEvents takes note of settlements, by the messages' names.
type settledEvents struct {
	mu       sync.Mutex
	left     int
	verdicts map[string]string
	done     chan struct{}
}

// Observe takes note of a verdict that was carried out.
func (s *settledEvents) Observe(e handler.Event) {
	if e.Kind != handler.EventSettled || e.Err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verdicts == nil {
		s.verdicts = make(map[string]string)
	}
	s.verdicts[e.Message.Attribute("name")] = e.Action.String()
	if s.left--; s.left == 0 {
		close(s.done)
	}
}

func TestOnlyASettledAckDeletes(t *testing.T) {
	b := inMemory(t, "large")
	b.Prefix = "in/"
	foreign := inMemory(t, "foreign")
	check := newCheck(t, b, nil)
	deleter, err := claimcheck.NewDeleter(check, nil)
	require.NoError(t, err)
	for i, e := range []handler.Event{
		{Kind: handler.EventHandled, Action: handler.ActionAck},
		{Kind: handler.EventReleased, Action: handler.ActionRetry},
		{Kind: handler.EventLateVerdict, Action: handler.ActionAck},
		{Kind: handler.EventSettled, Action: handler.ActionRetry},
		{Kind: handler.EventSettled, Action: handler.ActionDeadLetter},
		{Kind: handler.EventSettled, Action: handler.ActionAck, Err: errors.New("not carried out")},
	} {
		key := fmt.Sprintf("in/%d", i)
		require.NoError(t, b.Blob.WriteAll(t.Context(), key, []byte("x"), nil))
		e.Message = s3Pointer("large", key)
		deleter.Observe(e)
	}
	acked := handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck}
	require.NoError(t, foreign.Blob.WriteAll(t.Context(), "in/1", []byte("x"), nil))
	require.NoError(t, b.Blob.WriteAll(t.Context(), "other/1", []byte("x"), nil))
	require.NoError(t, b.Blob.WriteAll(t.Context(), "in/gone", []byte("x"), nil))
	for _, m := range []*handler.Message{
		s3Pointer("foreign", "in/1"), s3Pointer("large", "other/1"), {Body: []byte("no pointer"), Attributes: map[string]string{"ExtendedPayloadSize": "1"}},
		{Body: s3Pointer("large", "in/1").Body}, nil, s3Pointer("large", "in/gone"), s3Pointer("large", "in/gone"),
	} {
		acked.Message = m
		deleter.Observe(acked)
	}
	require.NoError(t, deleter.Close())
	require.Equal(t, []string{"in/0", "in/1", "in/2", "in/3", "in/4", "in/5", "other/1"}, keys(t, b))
	require.True(t, exists(t, foreign.Blob, "in/1"))
}

func TestADeletionThatFailsIsLogged(t *testing.T) {
	closed := memblob.OpenBucket(nil)
	require.NoError(t, closed.Close())
	check := newCheck(t, claimcheck.Bucket{Name: "large", Blob: closed}, nil)
	var logs bytes.Buffer
	deleter, err := claimcheck.NewDeleter(check, &claimcheck.DeleterConfig{Workers: 1, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	require.NoError(t, err)
	e := handler.Event{Kind: handler.EventSettled, Action: handler.ActionAck, Message: s3Pointer("large", "k1")}
	deleter.Observe(e)
	require.NoError(t, deleter.Close())
	require.Contains(t, logs.String(), "could not be deleted")
	require.Contains(t, logs.String(), "key=k1")
	deleter.Observe(e)
	require.Contains(t, logs.String(), "after the deleter was closed")
}
