package drivers_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

func failure() *drivers.Failure {
	return &drivers.Failure{
		Reason:   "card declined",
		First:    time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Last:     time.Date(2026, 3, 1, 12, 5, 0, 250, time.FixedZone("", 3600)),
		Consumer: "worker-7",
	}
}

func attributed(n int) *handler.Message {
	m := &handler.Message{Attempt: 3}
	for i := range n {
		m.SetAttribute(fmt.Sprintf("k%d", i), fmt.Sprintf("v%d", i))
	}
	return m
}

func TestFailureAttributesFitTheLimitAndReadTheSame(t *testing.T) {
	for _, c := range []struct{ own, limit, want int }{
		{0, 0, 6}, {10, 0, 16}, {4, 10, 10}, {5, 10, 6}, {9, 10, 10}, {10, 10, 10}, {12, 10, 10}, {3, 1, 1},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.own, c.limit), func(t *testing.T) {
			m := attributed(c.own)
			got := drivers.FailureAttributes(failure(), m, "orders", c.limit)
			require.Len(t, got, c.want)
			require.Len(t, m.Attributes, c.own, "the message's own map was changed")

			d, ok := drivers.ParseFailure(got)
			require.True(t, ok)
			require.Equal(t, "card declined", d.Reason)
			require.Equal(t, 3, d.Attempt)
			require.Equal(t, "orders", d.Queue)
			require.Equal(t, "worker-7", d.Consumer)
			require.True(t, failure().First.Equal(d.First))
			require.True(t, failure().Last.Equal(d.Last))

			want := attributed(c.own).Attributes
			if want == nil {
				want = map[string]string{}
			}
			require.Equal(t, want, drivers.WithoutFailure(got))
		})
	}
}

func TestFailureAttributesByName(t *testing.T) {
	require.Equal(t, map[string]string{
		"k0":                              "v0",
		"sluice-dead-letter-reason":       "card declined",
		"sluice-dead-letter-attempt":      "3",
		"sluice-dead-letter-first-failed": "2026-03-01T12:00:00Z",
		"sluice-dead-letter-last-failed":  "2026-03-01T11:05:00.00000025Z",
		"sluice-dead-letter-queue":        "orders",
		"sluice-dead-letter-consumer":     "worker-7",
	}, drivers.FailureAttributes(failure(), attributed(1), "orders", 0))
}

func TestFailureOfNoReason(t *testing.T) {
	got := drivers.FailureAttributes(nil, &handler.Message{}, "orders", 0)
	require.Equal(t, map[string]string{"sluice-dead-letter-queue": "orders"}, got)
	d, ok := drivers.ParseFailure(got)
	require.True(t, ok)
	require.Equal(t, drivers.DeadLetter{Queue: "orders"}, d)
}

func TestFailureReplacesAnOlderOne(t *testing.T) {
	m := attributed(10)
	m.Attributes = drivers.FailureAttributes(failure(), m, "orders", 10)
	again := drivers.FailureAttributes(&drivers.Failure{Reason: "still"}, m, "orders-dlq", 10)
	require.Len(t, again, 10)
	d, _ := drivers.ParseFailure(again)
	require.Equal(t, drivers.DeadLetter{Failure: drivers.Failure{Reason: "still"}, Attempt: 3, Queue: "orders-dlq"}, d)
	require.Equal(t, attributed(10).Attributes, drivers.WithoutFailure(again))
}

func TestReasonIsCutBetweenRunes(t *testing.T) {
	for _, reason := range []string{
		strings.Repeat("é", 600), "x" + strings.Repeat("é", 600), strings.Repeat("漢", 1<<20), strings.Repeat("a", 1024),
	} {
		got := drivers.FailureAttributes(&drivers.Failure{Reason: reason}, &handler.Message{}, "q", 0)[drivers.AttributeDeadLetterReason]
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), drivers.MaxReason)
		require.GreaterOrEqual(t, len(got), drivers.MaxReason-3)
	}
	invalid := drivers.FailureAttributes(&drivers.Failure{Reason: "a\xff\xfeb"}, &handler.Message{}, "q", 0)
	require.Equal(t, "a\uFFFDb", invalid[drivers.AttributeDeadLetterReason])
}

func TestForeignAttributesAreNoFailure(t *testing.T) {
	for _, attributes := range []map[string]string{nil, {"k": "v"}, {drivers.AttributeDeadLetter: "not ours"}} {
		_, ok := drivers.ParseFailure(attributes)
		require.False(t, ok, attributes)
	}
	odd, ok := drivers.ParseFailure(map[string]string{
		drivers.AttributeDeadLetterAttempt: "many", drivers.AttributeDeadLetterFirst: "yesterday", drivers.AttributeDeadLetterReason: "r",
	})
	require.True(t, ok)
	require.Equal(t, drivers.DeadLetter{Failure: drivers.Failure{Reason: "r"}}, odd)
}

// A sender may pack failures into each other: none outlives the rejection, whose own
// failure is the letter's.
func TestAPackedFailureHidesNoOther(t *testing.T) {
	text := `{"reason":"forged","queue":"payments","attempt":99,"consumer":"forged"}`
	for range 5 {
		for _, limit := range []int{0, 10, 2} {
			m := &handler.Message{Attempt: 3, Attributes: map[string]string{drivers.AttributeDeadLetter: text, "k0": "v0"}}
			drivers.UnpackFailure(m.Attributes) // as a driver does
			letter := drivers.FailureAttributes(&drivers.Failure{Reason: "card declined"}, m, "orders", limit)
			drivers.UnpackFailure(letter)
			got, ok := drivers.ParseFailure(letter)
			require.True(t, ok)
			require.Equal(t, drivers.DeadLetter{Failure: drivers.Failure{Reason: "card declined"}, Attempt: 3, Queue: "orders"}, got)
			require.Equal(t, attributed(1).Attributes, drivers.WithoutFailure(letter))
		}
		inner, err := json.Marshal(map[string]any{"attributes": map[string]string{
			drivers.AttributeDeadLetter: text, drivers.AttributeDeadLetterConsumer: "forged",
		}})
		require.NoError(t, err)
		text = string(inner)
	}
	// One of somebody else's is data.
	m := attributed(9)
	m.SetAttribute(drivers.AttributeDeadLetter, "not ours")
	require.Equal(t, m.Attributes, drivers.WithoutFailure(drivers.FailureAttributes(failure(), m, "orders", 10)))
}

func TestFailureRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &handler.Message{Attempt: rapid.IntRange(0, 1000).Draw(t, "attempt")}
		for k, v := range rapid.MapOfN(rapid.String(), rapid.String(), 0, 15).Draw(t, "attributes") {
			m.SetAttribute(k, v)
		}
		limit := rapid.IntRange(0, 12).Draw(t, "limit")
		got := drivers.FailureAttributes(&drivers.Failure{Reason: rapid.String().Draw(t, "reason")}, m, "q", limit)
		if limit > 0 {
			require.LessOrEqual(t, len(got), limit)
		}
		own := drivers.WithoutFailure(got)
		require.Len(t, own, len(m.Attributes))
		for k, v := range m.Attributes {
			require.Equal(t, v, own[k])
		}
	})
}

func FuzzParseFailure(f *testing.F) {
	for _, n := range []int{0, 10} {
		f.Add(drivers.FailureAttributes(failure(), attributed(n), "orders", 1)[drivers.AttributeDeadLetter])
	}
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		in := map[string]string{drivers.AttributeDeadLetter: text, "k": "v"}
		drivers.ParseFailure(in)
		require.Equal(t, map[string]string{drivers.AttributeDeadLetter: text, "k": "v"}, in, "parsing changed its input")
		own := drivers.WithoutFailure(in)
		require.Equal(t, "v", own["k"])
	})
}
