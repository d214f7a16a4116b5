package drivertest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

var errFlaky = &drivers.Error{Code: drivers.Transient, Queue: "reference", Err: errors.New("made to fail")}

// flaky opens a source and a sink on a reference queue, with failures.
func flaky(t *testing.T, o QueueOptions) (*Flaky, drivers.Source, drivers.Sink, *Queue) {
	t.Helper()
	q := newReference(o, mutant{}).queue()
	src, err := q.OpenSource(t.Context())
	require.NoError(t, err)
	sink, err := q.OpenSink(t.Context())
	require.NoError(t, err)
	f := &Flaky{}
	return f, f.Source(src), f.Sink(sink), q
}

// A healthy Flaky changes nothing: the wrapped queue keeps the rules.
func TestHealthyFlakyKeepsTheRules(t *testing.T) {
	h := referenceHarness(mutant{})
	made := h.NewQueue
	h.NewQueue = func(ctx context.Context, o QueueOptions) (*Queue, error) {
		q, err := made(ctx, o)
		f := &Flaky{}
		src, sink := q.OpenSource, q.OpenSink
		q.OpenSource = func(ctx context.Context) (drivers.Source, error) {
			s, err := src(ctx)
			return f.Source(s), err
		}
		q.OpenSink = func(ctx context.Context) (drivers.Sink, error) {
			s, err := sink(ctx)
			return f.Sink(s), err
		}
		return q, err
	}
	Run(t, h)
}

func TestFlakyFailsTheNextCalls(t *testing.T) {
	f, src, sink, _ := flaky(t, QueueOptions{Lease: time.Minute})
	ctx := t.Context()

	f.FailNext(OpSend, 1, errFlaky)
	require.Equal(t, []error{errFlaky, errFlaky}, sink.Send(ctx, numbered(2)))
	require.Nil(t, sink.Send(ctx, numbered(1)))

	f.FailNext(OpReceive, 2, errFlaky)
	for range 2 {
		_, err := src.Receive(ctx, 10, 0)
		require.ErrorIs(t, err, drivers.ErrTransient)
	}
	ds, err := src.Receive(ctx, 10, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0"}, bodies(ds), "a send that was made to fail reached the queue")

	f.FailNext(OpExtend, 1, errFlaky)
	require.Equal(t, []error{errFlaky}, src.Extend(ctx, []drivers.Extension{{Receipt: ds[0].Receipt, By: time.Hour}}))
	f.FailNext(OpSettle, 1, errFlaky)
	require.Equal(t, []error{errFlaky}, src.Settle(ctx, []drivers.Settlement{ack(ds[0])}))
	require.Nil(t, src.Settle(ctx, []drivers.Settlement{ack(ds[0])}))

	require.Equal(t, 3, f.Calls(OpReceive))
	require.Equal(t, 2, f.Failures(OpReceive))
	require.Equal(t, 3, f.Entries(OpSend))
	require.Equal(t, 1, f.Failures(OpSettle))
}

func TestFlakyFailsEntries(t *testing.T) {
	f, src, sink, _ := flaky(t, QueueOptions{Lease: time.Minute})
	f.FailEntries(OpSend, func(e Entry) error {
		if string(e.Message.Body) == "1" {
			return errFlaky
		}
		return nil
	})
	require.Equal(t, []error{nil, errFlaky, nil}, sink.Send(t.Context(), numbered(3)))
	ds, err := src.Receive(t.Context(), 10, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0", "2"}, bodies(ds))

	f.FailEntries(OpSettle, func(e Entry) error {
		if e.Action == handler.ActionAck {
			return errFlaky
		}
		return nil
	})
	require.Equal(t, []error{errFlaky, nil}, src.Settle(t.Context(), []drivers.Settlement{ack(ds[0]), drop(ds[1])}))
	f.FailEntries(OpSettle, nil)
	require.Nil(t, src.Settle(t.Context(), []drivers.Settlement{ack(ds[0])}))
	require.Equal(t, 1, f.Failures(OpSend))
	require.Equal(t, 1, f.Failures(OpSettle))
}

func TestFlakyLosesResponses(t *testing.T) {
	f, src, sink, q := flaky(t, QueueOptions{Lease: time.Minute})
	f.LoseNext(OpSend, 1, errFlaky)
	require.Equal(t, []error{errFlaky}, sink.Send(t.Context(), numbered(1)))
	f.LoseNext(OpReceive, 1, errFlaky)
	_, err := src.Receive(t.Context(), 1, 0)
	require.ErrorIs(t, err, errFlaky)

	ds, err := src.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Empty(t, ds, "the receive whose response was lost took the message")
	q.Advance(time.Minute)
	ds, err = src.Receive(t.Context(), 1, 0)
	require.NoError(t, err)
	require.Len(t, ds, 1)

	f.LoseNext(OpSettle, 1, errFlaky)
	require.Equal(t, []error{errFlaky}, src.Settle(t.Context(), []drivers.Settlement{ack(ds[0])}))
	errs := src.Settle(t.Context(), []drivers.Settlement{ack(ds[0])})
	require.ErrorIs(t, errs[0], drivers.ErrLeaseLost, "the ack whose response was lost was carried out")
}

func TestOutageBreaksOffWaitingReceivesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, src, sink, _ := flaky(t, QueueOptions{Lease: time.Minute})
		out := make(chan error, 1)
		go func() {
			_, err := src.Receive(t.Context(), 1, drivers.MaxWait)
			out <- err
		}()
		synctest.Wait()
		f.Outage(errFlaky)
		require.ErrorIs(t, <-out, errFlaky)

		_, err := src.Receive(t.Context(), 1, 0)
		require.ErrorIs(t, err, errFlaky)
		require.Equal(t, []error{errFlaky}, sink.Send(t.Context(), numbered(1)))
		inspector, ok := src.(drivers.Inspector)
		require.True(t, ok)
		_, err = inspector.Depth(t.Context())
		require.ErrorIs(t, err, errFlaky)
		_, err = inspector.Peek(t.Context(), 1, false)
		require.ErrorIs(t, err, errFlaky)

		f.FailNext(OpSend, 5, errFlaky)
		f.Recover()
		require.Nil(t, sink.Send(t.Context(), numbered(1)))
		ds, err := src.Receive(t.Context(), 1, 0)
		require.NoError(t, err)
		require.Len(t, ds, 1)
	})
}

func TestHeldCallsWaitForTheirRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, src, sink, _ := flaky(t, QueueOptions{Lease: time.Minute})
		release := f.Hold(OpSend)
		out := make(chan []error, 1)
		go func() { out <- sink.Send(t.Context(), numbered(1)) }()
		synctest.Wait()
		require.Empty(t, out, "a held call returned")
		ds, err := src.Receive(t.Context(), 1, 0)
		require.NoError(t, err)
		require.Empty(t, ds, "a held call reached the queue")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, sink.Send(ctx, numbered(1))[0], context.Canceled)

		release()
		release()
		require.Nil(t, <-out)
		require.Nil(t, sink.Send(t.Context(), numbered(1)))
	})
}

func TestOpNames(t *testing.T) {
	for op := range ops {
		require.NotEmpty(t, op.String())
	}
	require.Equal(t, "receive", OpReceive.String())
	require.Equal(t, "op(99)", Op(99).String())
}
