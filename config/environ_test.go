package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEnvironmentWinsOverFiles(t *testing.T) {
	c, err := load(t, []string{
		"SLUICE_QUEUES_ORDERS_URL=sqlite://x.db?queue=a=b",
		"SLUICE_QUEUES_ORDERS_VISIBILITY_TIMEOUT=2m",
		"SLUICE_QUEUES_ORDERS_DEAD_LETTER_MAX_ATTEMPTS=9",
		"SLUICE_QUEUES_ORDERS_TAGS=team=shop, stage=live",
		"SLUICE_QUEUES_ORDERS_FIFO=true",
		"SLUICE_QUEUES_ORDERS_RETENTION=",
		"SLUICE_LOCALSTACK_URL=not ours",
		"PATH=/bin",
	}, "queues: {orders: {url: 'mem://orders', retention: 4d, tags: {a: b}}}")
	require.NoError(t, err)
	q, err := c.Queue("orders")
	require.NoError(t, err)
	require.Equal(t, "sqlite://x.db?queue=a=b", q.Source)
	require.Equal(t, 2*time.Minute, q.Spec.VisibilityTimeout)
	require.Equal(t, 96*time.Hour, q.Spec.Retention)
	require.Equal(t, 9, q.Spec.DeadLetter.MaxAttempts)
	require.Equal(t, map[string]string{"team": "shop", "stage": "live"}, q.Spec.Tags)
	require.True(t, q.Spec.FIFO)
}

func TestVariablesFindTheirQueue(t *testing.T) {
	c, err := load(t, []string{
		"SLUICE_QUEUES_MY_ORDERS_FIFO_URL=mem://changed",
		"SLUICE_QUEUES_A_RETRY_URL=mem://a-retry",
		"SLUICE_QUEUES_A_RETRY_MIN=3s",
		"SLUICE_QUEUES_FROM_ENV_URL=mem://env",
		"SLUICE_QUEUES_FROM_ENV_DEAD_LETTER_RETENTION=6d",
	}, "queues: {my-Orders.fifo: {url: 'mem://o'}, a: {url: 'mem://a'}, a-retry: {url: 'mem://r'}}")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "a-retry", "from_env", "my-Orders.fifo"}, c.Names())
	source := func(name string) string {
		q, err := c.Queue(name)
		require.NoError(t, err)
		return q.Source
	}
	require.Equal(t, "mem://changed", source("my-Orders.fifo"))
	require.Equal(t, "mem://a-retry", source("a-retry"))
	require.Equal(t, "mem://a", source("a"))
	require.Equal(t, "mem://env", source("from_env"))
	q, err := c.Queue("a")
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, q.Spec.Retry.Min)
	q, err = c.Queue("from_env")
	require.NoError(t, err)
	require.Equal(t, 144*time.Hour, q.Spec.DeadLetter.Retention)
	require.Equal(t, 5, q.Spec.DeadLetter.MaxAttempts)
}

func TestFaultsOfTheEnvironment(t *testing.T) {
	file := "queues: {orders: {url: 'mem://orders'}, a: {url: 'mem://a'}, A: {url: 'mem://b'}}"
	for _, c := range []struct{ variable, want string }{
		{"SLUICE_QUEUES_ORDERS_VISIBLITY_TIMEOUT=5s", `$SLUICE_QUEUES_ORDERS_VISIBLITY_TIMEOUT: matches no key of a queue (did you mean "SLUICE_QUEUES_ORDERS_VISIBILITY_TIMEOUT"?)`},
		{"SLUICE_QUEUES_ORDERS_RETENTION=60", `$SLUICE_QUEUES_ORDERS_RETENTION: queues.orders.retention: "60" has no unit: write 60s, 60m, 60h or 60d`},
		{"SLUICE_QUEUES_ORDERS_TAGS=x", `$SLUICE_QUEUES_ORDERS_TAGS: queues.orders.tags: "x" is not name=value`},
		{"SLUICE_QUEUE_ORDERS_URL=mem://x", `$SLUICE_QUEUE_ORDERS_URL: no such variable (did you mean "SLUICE_QUEUES_ORDERS_URL"?)`},
		{"SLUICE_QUEUES_A_URL=mem://x", `$SLUICE_QUEUES_A_URL: matches both queues.A.url and queues.a.url (set it in a file)`},
		// The end of the name is that of a new queue's URL, and orders would have no store.
		{"SLUICE_QUEUES_ORDERS_CONSUMER_IDEMPOTENCY_URL=redis://marks",
			`$SLUICE_QUEUES_ORDERS_CONSUMER_IDEMPOTENCY_URL: matches no key of a queue (did you mean "SLUICE_QUEUES_ORDERS_CONSUMER_IDEMPOTENCY_TTL"?)`},
		{"SLUICE_QUEUES_ORDERS_DEAD_LETTER_URL=mem://dead", `$SLUICE_QUEUES_ORDERS_DEAD_LETTER_URL: matches no key of a queue (did you mean "SLUICE_QUEUES_ORDERS_DEAD_LETTER_NAME"?)`},
		{"SLUICE_QUEUES_NEW_FIFO=true", `$SLUICE_QUEUES_NEW_FIFO: queues.new: the queue has no URL (set url, or source and sink)`},
		{"SLUICE_QUEUES_ORDERS_URL=orders", `$SLUICE_QUEUES_ORDERS_URL: queues.orders.url: "orders" is not a queue URL: it has no scheme (such as awssqs:///orders?region=us-east-1 or sqlite://jobs.db?queue=orders)`},
	} {
		require.Equal(t, []string{c.want}, faults(t, []string{c.variable}, file))
	}
	got := faults(t, []string{"SLUICE_QUEUES_X=1"}, "queues: {}")
	require.Len(t, got, 1)
	require.Contains(t, got[0], "known: SLUICE_QUEUES_NAME_URL, SLUICE_QUEUES_NAME_SOURCE")
}
