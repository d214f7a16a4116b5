package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqlite"
	"github.com/sluice-go/sluice/handler"
)

func mux() *drivers.Mux { return drivers.NewMux(&mem.Opener{}, &sqlite.Opener{}) }

func send(t *testing.T, c *config.Config, m *drivers.Mux, queue, body string) {
	t.Helper()
	sink, err := c.OpenSink(t.Context(), m, queue)
	require.NoError(t, err)
	require.Nil(t, sink.Send(t.Context(), []*handler.Message{{Body: []byte(body)}}))
	require.NoError(t, sink.Close())
}

// The same program on two kinds of queue: only the file differs.
func TestAProgramNamesItsQueue(t *testing.T) {
	for _, url := range []string{"mem://orders", "sqlite://" + t.TempDir() + "/jobs.db?queue=orders"} {
		c, err := load(t, nil, "queues: {orders: {url: '"+url+"', visibility_timeout: 7s, dead_letter: {max_attempts: 3, name: letters, retention: 30d}, retry: {min: 1ms, max: 2ms}}}")
		require.NoError(t, err)
		m := mux()
		send(t, c, m, "orders", "hello")

		source, err := c.OpenSource(t.Context(), m, "orders")
		require.NoError(t, err)
		caps := source.Capabilities()
		require.Equal(t, "7s", caps.Lease.String(), "the embedded queue is made as the configuration says")
		require.Equal(t, 3, caps.MaxAttempts)
		require.Equal(t, "letters", caps.DeadLetterQueue)
		require.NoError(t, source.Close())
	}
}

func TestOpenFaults(t *testing.T) {
	c, err := load(t, nil, `
queues:
  in: {source: "mem://in"}
  out: {sink: "mem://out"}
  both: {url: "mem://both?visibility_timeout=5s&max_attempts=4", visibility_timeout: 7s, dead_letter: {}}
  broken: {url: "mem://x?y=1"}
  worse: {url: "mem://x?%zz=1", visibility_timeout: 7s}
  lacking: {url: "mem://x", exactly_once: true, retain_acked: true, kms_key: k, tags: {team: a}, alarms: {dead_letters: 1}}
`)
	require.NoError(t, err)
	m := mux()
	_, err = c.OpenSink(t.Context(), m, "in")
	require.EqualError(t, err, `queue "in": open: invalid: the configuration has no URL for sending (set queues.in.sink or queues.in.url)`)
	_, err = c.OpenSource(t.Context(), m, "out")
	require.EqualError(t, err, `queue "out": open: invalid: the configuration has no URL for receiving (set queues.out.source or queues.out.url)`)
	_, err = c.OpenSource(t.Context(), m, "both")
	require.ErrorContains(t, err, "the URL has visibility_timeout=5s, and queues.both.visibility_timeout says 7s: give one of them")
	require.ErrorContains(t, err, "the URL has max_attempts=4, and queues.both.dead_letter.max_attempts says 5: give one of them")
	require.ErrorIs(t, err, drivers.ErrInvalid)
	_, err = c.OpenSink(t.Context(), m, "lacking")
	require.ErrorIs(t, err, drivers.ErrInvalid)
	for _, key := range []string{"exactly_once", "retain_acked", "kms_key", "tags", "alarms"} {
		require.ErrorContains(t, err, "queues.lacking."+key+": ", "a key that the queue can't honor is refused")
	}
	_, err = c.OpenSink(t.Context(), m, "worse")
	require.ErrorContains(t, err, "malformed query")
	_, err = c.OpenSink(t.Context(), m, "broken")
	require.ErrorIs(t, err, drivers.ErrInvalid)
	for _, open := range []func() error{
		func() error { _, err := c.OpenSource(t.Context(), m, "on"); return err },
		func() error { _, err := c.OpenSink(t.Context(), m, "on"); return err },
	} {
		var unknown *config.UnknownQueueError
		require.ErrorAs(t, open(), &unknown)
	}
}
