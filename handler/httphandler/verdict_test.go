package httphandler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

var clock = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(t testing.TB, config *Config) *Handler {
	t.Helper()
	if config == nil {
		config = &Config{}
	}
	config.Now = func() time.Time { return clock }
	h, err := New("http://127.0.0.1/", config)
	require.NoError(t, err)
	return h
}

func TestAnswersAreVerdicts(t *testing.T) {
	for _, c := range []struct {
		status  int
		retry   string
		action  handler.Action
		delayed bool
		delay   time.Duration
	}{
		{status: 200, action: handler.ActionAck},
		{status: 204, action: handler.ActionAck},
		{status: 299, retry: "5", action: handler.ActionAck},
		{status: 302, action: handler.ActionRetry},
		{status: 400, action: handler.ActionDeadLetter},
		{status: 401, action: handler.ActionDeadLetter},
		{status: 404, retry: "5", action: handler.ActionDeadLetter},
		{status: 408, action: handler.ActionRetry},
		{status: 409, action: handler.ActionRetry},
		{status: 422, action: handler.ActionDeadLetter},
		{status: 425, action: handler.ActionRetry},
		{status: 429, retry: "120", action: handler.ActionRetry, delayed: true, delay: 2 * time.Minute},
		{status: 499, action: handler.ActionDeadLetter},
		{status: 500, action: handler.ActionRetry},
		{status: 503, retry: "Fri, 02 Jan 2026 03:05:05 GMT", action: handler.ActionRetry, delayed: true, delay: time.Minute},
		{status: 503, retry: "Fri, 02 Jan 2026 03:00:00 GMT", action: handler.ActionRetry, delayed: true, delay: time.Second},
		{status: 503, retry: "Fri, 02 Jan 2026 03:04:05 GMT", action: handler.ActionRetry, delayed: true, delay: time.Second},
		{status: 429, retry: "Thu, 01 Jan 1970 00:00:00 GMT", action: handler.ActionRetry, delayed: true, delay: time.Second},
		{status: 503, retry: "Fri, 02 Jan 2099 03:00:00 GMT", action: handler.ActionRetry, delayed: true, delay: 12 * time.Hour},
		{status: 503, retry: "Friday, 02-Jan-26 03:05:05 GMT", action: handler.ActionRetry, delayed: true, delay: time.Minute},
		{status: 503, retry: "0", action: handler.ActionRetry, delayed: true, delay: time.Second},
		{status: 503, retry: "1", action: handler.ActionRetry, delayed: true, delay: time.Second},
		{status: 503, retry: "", action: handler.ActionRetry},
		{status: 429, retry: " 000 ", action: handler.ActionRetry, delayed: true, delay: time.Second},
		{status: 503, retry: " 7 ", action: handler.ActionRetry, delayed: true, delay: 7 * time.Second},
		{status: 503, retry: "86400", action: handler.ActionRetry, delayed: true, delay: 12 * time.Hour},
		{status: 503, retry: strings.Repeat("9", 40), action: handler.ActionRetry, delayed: true, delay: 12 * time.Hour},
		{status: 503, retry: "soon", action: handler.ActionRetry},
		{status: 503, retry: "-5", action: handler.ActionRetry},
		{status: 503, retry: "1.5", action: handler.ActionRetry},
		{status: 503, retry: "5s", action: handler.ActionRetry},
		{status: 599, action: handler.ActionRetry},
	} {
		v := handler.VerdictOf(at(t, nil).verdict(c.status, c.retry, "because"))
		require.Equal(t, c.action, v.Action, c.status)
		require.Equal(t, c.delayed, v.Delayed, "%d %s", c.status, c.retry)
		require.Equal(t, c.delay, v.Delay, "%d %s", c.status, c.retry)
		if c.action != handler.ActionAck {
			require.ErrorContains(t, v.Err, fmt.Sprintf("HTTP status %d", c.status))
			require.ErrorContains(t, v.Err, "because")
		}
	}
	v := handler.VerdictOf(at(t, &Config{MaxRetryAfter: time.Minute}).verdict(503, "61", ""))
	require.Equal(t, time.Minute, v.Delay)
}

// Every status that there can be, by the rule in the package comment.
func TestEveryStatusHasItsVerdict(t *testing.T) {
	h := at(t, nil)
	retried := map[int]bool{408: true, 409: true, 425: true, 429: true}
	for status := 100; status <= 999; status++ {
		want := handler.ActionRetry
		switch {
		case status >= 200 && status <= 299:
			want = handler.ActionAck
		case status >= 400 && status <= 499 && !retried[status]:
			want = handler.ActionDeadLetter
		}
		require.Equal(t, want, handler.VerdictOf(h.verdict(status, "", "")).Action, status)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "Fri, 02 Jan 2026 03:05:05 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "99999999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := parseRetryAfter(s, clock)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, longestDelay)
		if !ok {
			require.Zero(t, d)
		}
	})
}
