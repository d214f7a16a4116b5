package consumer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/consumer"
)

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		w := start(t, q, lasting(10*time.Second), consumer.Config{})
		pass(time.Second)
		began := time.Now()
		require.NoError(t, w.c.Close())
		require.Equal(t, 9*time.Second, time.Since(began), "the handler returns first")
		require.NoError(t, <-w.done)
		require.EqualValues(t, 1, w.c.Stats().Acked)
		require.Equal(t, 1, q.closed)
		require.NoError(t, w.c.Close())
		require.Equal(t, 1, q.closed)
	})
}

func TestCloseReturnsTheErrorOfRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, newQueue(1), lasting(time.Hour), consumer.Config{DrainTimeout: time.Second, StopTimeout: time.Second})
		pass(time.Second)
		w.c.Abort()
		err := w.c.Close()
		require.ErrorIs(t, err, consumer.ErrDrainTimeout)
		require.Equal(t, err, <-w.done)
	})
}

func TestCloseWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1)
		c, err := consumer.New(q, lasting(time.Second), nil)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.Equal(t, 1, q.closed)
		require.Equal(t, consumer.HealthStopped, c.Health().Status)
		require.ErrorIs(t, c.Run(context.Background()), consumer.ErrRunTwice)
		require.NoError(t, c.Close())
		require.Equal(t, 1, q.closed)
		require.Empty(t, q.receives)
	})
}
