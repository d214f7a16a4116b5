package config_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/handler"
)

func TestTheSectionConsumer(t *testing.T) {
	t.Parallel()
	c, err := load(t, nil, `
service: {admin: ":9000", pprof: true}
queues:
  plain: {url: "mem://plain", retry: {min: 2s}}
  empty: {url: "mem://empty", consumer: {}}
  orders:
    url: mem://orders
    retry: {min: 1s, max: 5m}
    consumer:
      concurrency: 32
      timeout: 30s
      heartbeat: false
      p99: 20s
      retry: {max_attempts: 4}
      idempotency: {store: "postgres://u:hunter2@db/shop", key: "attribute:order", transactional: true, ttl: 2d}
      rate_limit: {rate: 5/10s, key: group}
      breaker: {ratio: 0.25}
      bulkhead: {limit: 2, key: "attribute:tenant"}
`)
	require.NoError(t, err)
	require.Equal(t, config.Service{Admin: ":9000", Pprof: true, Relay: true}, c.Service())

	q, err := c.Queue("plain")
	require.NoError(t, err)
	require.Nil(t, q.Consumer)
	require.Equal(t, config.Retry{Min: 2 * time.Second, Max: 10 * time.Minute}, q.Retries())

	q, err = c.Queue("empty")
	require.NoError(t, err)
	require.Equal(t, &config.Consumer{Concurrency: 16, Heartbeat: true}, q.Consumer)
	require.Zero(t, q.Retries())

	q, err = c.Queue("orders")
	require.NoError(t, err)
	require.Equal(t, &config.Consumer{
		Concurrency: 32, Timeout: 30 * time.Second, P99: 20 * time.Second,
		Retry:       &config.Retry{MaxAttempts: 4},
		Idempotency: &config.Idempotency{Store: "postgres://u:hunter2@db/shop", Key: "attribute:order", Transactional: true, TTL: 48 * time.Hour},
		RateLimit:   &config.RateLimit{Rate: config.Rate{N: 5, Per: 10 * time.Second}, Key: config.ByGroup},
		Breaker:     &config.Breaker{Window: 30 * time.Second, MinCount: 10, Ratio: 0.25, OpenFor: 5 * time.Second},
		Bulkhead:    &config.Bulkhead{Limit: 2, Key: "attribute:tenant"},
	}, q.Consumer)
	require.Equal(t, config.Retry{Min: time.Second, Max: 5 * time.Minute, MaxAttempts: 4}, q.Retries())
	shown := map[string]string{}
	for _, v := range c.Values() {
		shown[v.Path] = v.Text + " " + v.Origin.String()[strings.LastIndexByte(v.Origin.String(), '/')+1:]
	}
	require.Equal(t, "postgres://u:xxxxx@db/shop a.yaml:15:28", shown["queues.orders.consumer.idempotency.store"])
	require.Equal(t, "30s default", shown["queues.orders.consumer.breaker.window"])
	require.Equal(t, "5/10s a.yaml:16:26", shown["queues.orders.consumer.rate_limit.rate"])
	require.Equal(t, "true a.yaml:2:34", shown["service.pprof"])
}

// Each contradiction names its place, and that of the other key.
func TestContradictionsOfAConsumer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"retry: {min: 1s}, consumer: {retry: {min: 2s}}": "a.yaml:1: queues.q.consumer.retry.min: 2s, but retry.min (a.yaml:1) is 1s (consumers go by the queue's section retry: leave it out here)",
		"consumer: {retry: {min: 20m, max: 1m}}":         "a.yaml:1: queues.q.consumer.retry.min: 20m is more than consumer.retry.max, which is 1m",
		"dead_letter: {max_attempts: 3}, consumer: {retry: {max_attempts: 4}}": "a.yaml:1: queues.q.consumer.retry.max_attempts: " +
			"4 is more than dead_letter.max_attempts (a.yaml:1), which is 3 and counts first",
		"consumer: {timeout: 1s, p99: 2s}": "a.yaml:1: queues.q.consumer.p99: 2s is more than consumer.timeout (a.yaml:1), which is 1s and ends such handlers (make the timeout longer)",
		"visibility_timeout: 10s, consumer: {timeout: 11s, heartbeat: false}": "a.yaml:1: queues.q.consumer.timeout: 11s is more than visibility_timeout (a.yaml:1), " +
			"which is 10s: without a heartbeat the lease ends before the handler (set consumer.heartbeat: true, or make visibility_timeout longer)",
		"consumer: {concurrency: 2, bulkhead: {limit: 3, key: group}}": "a.yaml:1: queues.q.consumer.bulkhead.limit: 3 is more than consumer.concurrency (a.yaml:1), which is 2: it would never be reached",
		"consumer: {bulkhead: {limit: 3}}":                             "a.yaml:1: queues.q.consumer.bulkhead.key: there is no key (say whose messages are limited, such as attribute:tenant)",
		"consumer: {rate_limit: {key: group}}":                         "a.yaml:1: queues.q.consumer.rate_limit.rate: there is no rate (such as 50/s)",
		"consumer: {idempotency: {key: dedupe_id}}":                    "a.yaml:1: queues.q.consumer.idempotency.store: there is no store (give its URL, such as postgres://host/db or sqlite://marks.db)",
	} {
		_, err := load(t, nil, `queues: {q: {url: "mem://q", `+text+"}}")
		require.Error(t, err, text)
		require.Equal(t, want, place.ReplaceAllString(err.Error(), "a.yaml:1"), text)
	}
}

// place matches a place in the file of a test.
var place = regexp.MustCompile(`[^ (]*a\.yaml:1:[0-9]+`)

func TestWrongValuesOfAConsumer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{timeout: 0}":                             "is not above zero",
		"{p99: 0s}":                                "is not above zero",
		"{concurrency: 0}":                         "0 is below 1",
		"{rate_limit: {rate: 50}}":                 `"50" is not a rate`,
		"{rate_limit: {rate: 0/s}}":                "is not a whole number above 0",
		"{rate_limit: {rate: 5/0s}}":               "its time is not above 0",
		"{rate_limit: {rate: 5/x}}":                "is not a rate",
		"{rate_limit: {rate: 5/s, key: tenant}}":   "write attribute:tenant for an attribute",
		"{rate_limit: {rate: 5/s, key: groop}}":    `did you mean "group"?`,
		"{idempotency: {store: s, key: group}}":    "write attribute:group",
		"{idempotency: {store: '', key: x}}":       "write attribute:x",
		"{breaker: {ratio: 2}}":                    "is not above 0 and up to 1",
		"{breaker: {ratio: many}}":                 "is not a number",
		"{breakr: {}}":                             `unknown key "breakr" (did you mean "breaker"?)`,
		"{heartbeat: maybe}":                       "is neither true nor false",
		"{bulkhead: {limit: 0, key: 'attribute:'}": "is not a key",
	} {
		_, err := load(t, nil, `queues: {q: {url: "mem://q", consumer: `+text+"}}")
		require.Error(t, err, text)
		if text[len(text)-2:] == "'}" {
			continue // the braces do not fit either
		}
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "a.yaml:1:", text)
	}
}

func TestTheEnvironmentOfAConsumer(t *testing.T) {
	t.Parallel()
	c, err := load(t, []string{"SLUICE_QUEUES_ORDERS_CONSUMER_RETRY_MAX_ATTEMPTS=3", "SLUICE_QUEUES_ORDERS_CONSUMER_RATE_LIMIT_RATE=50/s", "SLUICE_SERVICE_ADMIN=off"},
		"queues: {orders: {url: 'mem://orders'}}")
	require.NoError(t, err)
	q, err := c.Queue("orders")
	require.NoError(t, err)
	require.Equal(t, 3, q.Retries().MaxAttempts)
	require.Equal(t, "50/s", q.Consumer.RateLimit.Rate.String())
	require.Equal(t, "off", c.Service().Admin)
	for variable, want := range map[string]string{
		"SLUICE_SERVICE_ADMN=1":  `$SLUICE_SERVICE_ADMN: fits no key of the section service (did you mean "SLUICE_SERVICE_ADMIN"?)`,
		"SLUICE_SERVICE_ADMIN=x": `$SLUICE_SERVICE_ADMIN: service.admin: "x" is not an address to listen on (such as 127.0.0.1:9464, a port alone, or off)`,
	} {
		_, err := load(t, []string{variable}, "{}")
		require.EqualError(t, err, want)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Rate{
		"50/s": {N: 50, Per: time.Second}, "1000/m": {N: 1000, Per: time.Minute}, "5/10s": {N: 5, Per: 10 * time.Second},
		"1/d": {N: 1, Per: 24 * time.Hour}, "2/1h30m": {N: 2, Per: 90 * time.Minute},
	} {
		got, err := config.ParseRate(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := config.ParseRate(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
	require.Equal(t, "50/s", config.Rate{N: 50, Per: time.Second}.String())
}

func TestKeysOfAMessage(t *testing.T) {
	t.Parallel()
	m := &handler.Message{ID: "i", DedupeID: "d", Group: "g", Attributes: map[string]string{"tenant": "t"}}
	for k, want := range map[config.Key]string{config.ByDedupeID: "d", config.ByGroup: "g", "attribute:tenant": "t", "attribute:other": "", "": ""} {
		require.Equal(t, want, k.Of(m), k)
	}
	require.Equal(t, "i", config.ByDedupeID.Of(&handler.Message{ID: "i"}))
}
