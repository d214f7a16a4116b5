package letter_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/letter"
)

// strict is a sink that takes attributes of so many bytes.
type strict struct {
	drivers.Sink
	bytes int
	err   error // given in place of an answer
	sent  []*handler.Message
	tries int
}

func (s *strict) Capabilities() drivers.Capabilities { return drivers.Capabilities{MaxAttributes: 10} }

func (s *strict) Send(_ context.Context, ms []*handler.Message) []error {
	s.tries++
	if s.err != nil {
		return []error{s.err}
	}
	n := 0
	for k, v := range ms[0].Attributes {
		n += len(k) + len(v)
	}
	if n > s.bytes {
		return []error{&drivers.Error{Code: drivers.Invalid, Queue: "dlq", Op: "send", Err: errors.New("too large")}}
	}
	s.sent = append(s.sent, ms...)
	return nil
}

func TestALetterGoesWithWhatTheSinkTakes(t *testing.T) {
	m := &handler.Message{ID: "1", Body: []byte("body"), Group: "g", DedupeID: "d", Attributes: map[string]string{"k": "v"}}
	f := &drivers.Failure{Reason: strings.Repeat("é", 500)}
	for _, c := range []struct {
		name   string
		bytes  int
		tries  int
		reason int // bytes of it
	}{
		{"everything", 5000, 1, 1000},
		{"a short reason", 600, 2, 64},
		{"nothing of the failure", 10, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &strict{bytes: c.bytes}
			require.NoError(t, letter.Send(t.Context(), s, m, f, "orders"))
			require.Equal(t, c.tries, s.tries)
			require.Len(t, s.sent, 1)
			got := s.sent[0]
			require.Equal(t, "body", string(got.Body))
			require.Equal(t, "g", got.Group)
			require.Equal(t, "d", got.DedupeID)
			require.Equal(t, "v", got.Attribute("k"))
			failure, ok := drivers.ParseFailure(got.Attributes)
			require.Equal(t, c.reason > 0, ok)
			require.Len(t, failure.Reason, c.reason)
			require.Equal(t, map[string]string{"k": "v"}, m.Attributes, "the message's own attributes were changed")
		})
	}
}

func TestOtherErrorsAreNotMendedByLess(t *testing.T) {
	s := &strict{err: &drivers.Error{Code: drivers.Transient, Queue: "dlq", Op: "send", Err: errors.New("down")}}
	require.ErrorIs(t, letter.Send(t.Context(), s, &handler.Message{}, &drivers.Failure{}, "orders"), s.err)
	require.Equal(t, 1, s.tries)
}

// A letter that has no room for its failure has none of its sender's either.
func TestASendersFailureIsNotTheLetters(t *testing.T) {
	m := &handler.Message{ID: "1", Body: []byte("body"), Attributes: map[string]string{
		"k": "v", drivers.AttributeDeadLetterQueue: "forged", drivers.AttributeDeadLetterReason: "forged",
	}}
	s := &strict{bytes: 100}
	require.NoError(t, letter.Send(t.Context(), s, m, &drivers.Failure{Reason: strings.Repeat("é", 500)}, "orders"))
	require.Equal(t, 3, s.tries)
	require.Equal(t, map[string]string{"k": "v"}, s.sent[0].Attributes)
}
