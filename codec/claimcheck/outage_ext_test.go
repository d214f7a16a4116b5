package claimcheck_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
)

// A bucket that is away for ten minutes must not use up the attempts of messages that no
// handler has seen.
func TestAnOutageOfTheBucketSpendsNoAttempt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bodies")
	require.NoError(t, os.Mkdir(dir, 0o700))
	bucket, err := fileblob.OpenBucket(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bucket.Close()) })
	check := newCheck(t, claimcheck.Bucket{Name: "bodies", Format: claimcheck.Other, Blob: bucket}, &claimcheck.Config{Always: true})

	synctest.Test(t, func(t *testing.T) {
		mux := drivers.NewMux(&mem.Opener{})
		sink, err := mux.OpenSink(t.Context(), "mem://orders", nil)
		require.NoError(t, err)
		source, err := mux.OpenSource(t.Context(), "mem://orders?max_attempts=3", nil)
		require.NoError(t, err)
		m := &handler.Message{Body: []byte("a large body")}
		require.NoError(t, check.Prepare(t.Context(), m))
		require.NoError(t, errors.Join(sink.Send(t.Context(), []*handler.Message{m})...))
		require.NoError(t, os.Rename(dir, dir+"-away"))

		stack, err := middleware.Standard(nil)
		require.NoError(t, err)
		handled := make(chan *handler.Message, 9)
		c, err := consumer.New(source, handler.Chain(stack.Handler(check.Middleware(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			handled <- m
			return nil
		})))), nil)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()

		<-time.After(10 * time.Minute)
		require.Greater(t, c.Stats().Postponed, uint64(20), "the body was asked for")
		d, err := source.(drivers.Inspector).Depth(t.Context())
		require.NoError(t, err)
		require.Zero(t, d.DeadLetters)
		require.NoError(t, os.Rename(dir+"-away", dir))
		got := <-handled
		require.Equal(t, "a large body", string(got.Body))
		require.Equal(t, 1, got.Attempt)
		cancel()
		require.NoError(t, <-done)
		require.Empty(t, handled)
		require.NoError(t, sink.Close())
	})
}

// A body that cannot be read for a reason of its own spends attempts: the others can.
func TestTroubleWithOneBodySpendsAttempts(t *testing.T) {
	dir := t.TempDir()
	bucket, err := fileblob.OpenBucket(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bucket.Close()) })
	require.NoError(t, bucket.WriteAll(t.Context(), "key", []byte("body"), &blob.WriterOptions{}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.attrs"), []byte("no JSON"), 0o600))
	check := newCheck(t, claimcheck.Bucket{Name: "large", Blob: bucket}, nil)
	err = check.Middleware(&handled{}).Handle(t.Context(), s3Pointer("large", "key"))
	require.ErrorContains(t, err, `bucket "large", key "key"`)
	v := handler.VerdictOf(err)
	require.Equal(t, handler.ActionRetry, v.Action)
	require.False(t, v.Postponed)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, os.RemoveAll(dir))
	err = check.Middleware(&handled{}).Handle(ended, s3Pointer("large", "key"))
	require.Error(t, err)
	require.False(t, handler.VerdictOf(err).Postponed, "a handler's own end is no outage")
	require.True(t, handler.VerdictOf(check.Middleware(&handled{}).Handle(t.Context(), s3Pointer("large", "key"))).Postponed)
}
