package embedded

import (
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func TestFromURL(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		query string
		want  Config
	}{
		{"", Config{}},
		{"visibility_timeout=90s&retention=4d&max_attempts=3&dead_letter=dead&ordered=true&dedupe_window=5m&delay=1s", Config{
			VisibilityTimeout: 90 * time.Second, Retention: 96 * time.Hour, MaxAttempts: 3, DeadLetter: "dead", Ordered: &yes,
			DedupeWindow: 5 * time.Minute, Delay: time.Second,
		}},
		{"max_attempts=0&dead_letter=none&ordered=false&dedupe_window=0&delay=0", Config{
			MaxAttempts: -1, DeadLetter: NoDeadLetter, Ordered: &no, DedupeWindow: -1, Delay: -1,
		}},
		{"retention=65535d65535h", Config{Retention: (65535*24 + 65535) * time.Hour}},
		{"retention=65535d2562047h", Config{Retention: math.MaxInt64}},
		{"retention=1d12h", Config{Retention: 36 * time.Hour}},
		{"file=x", Config{}},
	} {
		u := &url.URL{Scheme: "mem", Host: "q", RawQuery: c.query}
		got, err := FromURL(u, nil, "file")
		require.NoError(t, err, c.query)
		require.Equal(t, &c.want, got, c.query)
	}
	got, err := FromURL(&url.URL{RawQuery: "dead_letter=a"}, &drivers.Options{DeadLetter: "b"})
	require.NoError(t, err)
	require.Equal(t, "b", got.DeadLetter, "the program's word counts")
}

func TestFromURLRefuses(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"visiblity_timeout=30s", `did you mean "visibility_timeout"`},
		{"visibility_timeout=30", "a duration above zero"},
		{"visibility_timeout=0", "a duration above zero"},
		{"visibility_timeout=", `"visibility_timeout" is empty`},
		{"retention=-1h", "a duration above zero"},
		{"retention=1d-25h", "a duration above zero"},
		{"retention=xd", "a duration above zero"},
		{"delay=-1s", "or 0"},
		{"dedupe_window=long", "or 0"},
		{"max_attempts=-1", "a whole number"},
		{"max_attempts=many", "a whole number"},
		{"ordered=maybe", "true or false"},
		{"dead_letter=", `"dead_letter" is empty`},
		{"delay=1s&delay=2s", "occurs 2 times"},
	} {
		_, err := FromURL(&url.URL{Scheme: "mem", RawQuery: c.query}, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.query)
		require.ErrorContains(t, err, c.want, c.query)
	}
	_, err := FromURL(&url.URL{RawQuery: "delay=x&ordered=y"}, nil)
	require.ErrorContains(t, err, "delay")
	require.ErrorContains(t, err, "ordered", "all faults are told at once")
}

func FuzzFromURL(f *testing.F) {
	f.Add("visibility_timeout=90s&retention=4d&max_attempts=3&ordered=true")
	f.Add("retention=99999999d")
	f.Fuzz(func(t *testing.T, query string) {
		c, err := FromURL(&url.URL{Scheme: "mem", RawQuery: query}, nil)
		if err != nil {
			require.ErrorIs(t, err, drivers.ErrInvalid)
			return
		}
		q := c.apply(initial("q"))
		require.Positive(t, q.Visibility)
		require.Positive(t, q.Retention)
		require.GreaterOrEqual(t, q.Delay, time.Duration(0))
		require.GreaterOrEqual(t, q.DedupeWindow, time.Duration(0))
		require.GreaterOrEqual(t, q.MaxReceives, 0)
	})
}
