package cloud_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/gcerrors"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/driver"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/cloud"
	"github.com/sluice-go/sluice/handler"
)

// line is a topic on a connection: once that is down, it is down for good.
type line struct {
	driver.Topic
	down  *atomic.Bool
	sends *atomic.Int32
	ended *atomic.Int32
}

func (l line) SendBatch(_ context.Context, ms []*driver.Message) error {
	if l.down.Load() {
		return errors.New("connection closed")
	}
	l.sends.Add(int32(len(ms)))
	return nil
}

func (l line) Close() error                       { l.ended.Add(1); return nil }
func (l line) IsRetryable(error) bool             { return false }
func (l line) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.FailedPrecondition }
func (l line) ErrorAs(error, any) bool            { return false }
func (l line) As(any) bool                        { return false }

// A provider is away, and comes back: the sink goes on by itself, on another
// connection, and doesn't dial at each message meanwhile.
func TestASinkOpensItsTopicAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		var dials, sends, ended atomic.Int32
		var now *atomic.Bool // whether the latest connection is down
		dial := func(context.Context) (*pubsub.Topic, error) {
			dials.Add(1)
			if away.Load() {
				return nil, errors.New("connection refused")
			}
			now = new(atomic.Bool)
			return pubsub.NewTopic(line{down: now, sends: &sends, ended: &ended}, nil), nil
		}
		topic, err := dial(t.Context())
		require.NoError(t, err)
		sink, err := cloud.NewSink(topic, cloud.SinkConfig{Queue: "orders", Open: dial})
		require.NoError(t, err)
		send := func() error {
			return errors.Join(sink.Send(t.Context(), []*handler.Message{{Body: []byte("x")}})...)
		}
		require.NoError(t, send())
		for range 2 { // again and again
			dials.Store(0)
			away.Store(true)
			now.Store(true)
			for range 600 { // two minutes
				require.ErrorIs(t, send(), drivers.ErrTransient)
				<-time.After(200 * time.Millisecond)
			}
			require.Less(t, int(dials.Load()), 125, "it dials at each message")
			away.Store(false)
			<-time.After(time.Second)
			require.NoError(t, send(), "the sink stays dead")
		}
		require.EqualValues(t, 2, ended.Load(), "topics that have failed stay open")
		require.NoError(t, sink.Close())
		require.EqualValues(t, 3, ended.Load())
		require.EqualValues(t, 3, sends.Load())
	})
}
