package producertest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/producer"
	"github.com/sluice-go/sluice/producer/producertest"
)

type email struct{ To string }

func (email) Kind() string { return "email" }

type receipt struct{ Cents int }

func (*receipt) Kind() string { return "receipt" }

// probe is a test that may fail.
type probe struct {
	testing.TB
	failed string
}

func (p *probe) Helper()           {}
func (p *probe) Fatal(args ...any) { p.failed = fmt.Sprint(args...); runtime.Goexit() }
func (p *probe) Fatalf(format string, args ...any) {
	p.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns the text with which f fails its test, "" if it does not.
func failure(f func(t testing.TB)) string {
	p := &probe{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(p)
	}()
	<-done
	return p.failed
}

func send(t *testing.T, sink *producertest.Sink, ms ...*handler.Message) error {
	t.Helper()
	p, err := producer.New(sink, &producer.Config{RetryFor: -1})
	require.NoError(t, err)
	return p.Send(t.Context(), ms...)
}

func typed(kind, body string) *handler.Message {
	return &handler.Message{Body: []byte(body), Attributes: map[string]string{"type": kind}, Delay: 90 * 24 * time.Hour}
}

func TestWhatWasSent(t *testing.T) {
	t.Parallel()
	sink := &producertest.Sink{}
	producertest.RequireNothingSent(t, sink)
	require.NoError(t, send(t, sink, typed("email", `{"To":"a"}`), typed("receipt", `{"Cents":5}`), typed("email", `{"To":"b"}`)))

	r := producertest.RequireSent[*receipt](t, sink)
	require.Equal(t, &receipt{5}, r.Value)
	require.Equal(t, "2", r.Message.ID)
	require.NotEmpty(t, r.Message.DedupeID, "the producer's identity")
	require.Equal(t, 90*24*time.Hour, r.Message.Delay)
	emails := producertest.RequireManySent[email](t, sink, 2)
	require.Equal(t, []email{{"a"}, {"b"}}, []email{emails[0].Value, emails[1].Value})
	producertest.RequireNoneSent[interface{ Kind() string }](t, &producertest.Sink{})
	sink.Sent()[0].Body[0] = '!'
	require.JSONEq(t, `{"To":"a"}`, string(sink.Sent()[0].Body), "copies")

	sink.Reset()
	producertest.RequireNothingSent(t, sink)
}

func TestWhatFailsATest(t *testing.T) {
	t.Parallel()
	sink := &producertest.Sink{}
	require.NoError(t, send(t, sink, typed("email", `{"To":"a"}`), typed("receipt", "secret")))
	for want, f := range map[string]func(t testing.TB){
		"2 messages were sent, and none were expected: 1 (type \"email\", 10 bytes), 2 (type \"receipt\", 6 bytes)": func(t testing.TB) {
			producertest.RequireNothingSent(t, sink)
		},
		"1 messages of producertest_test.email were sent, and 2 were expected; all that was sent: 1 (type \"email\", 10 bytes), 2 (type \"receipt\", 6 bytes)": func(t testing.TB) {
			producertest.RequireManySent[email](t, sink, 2)
		},
		"message 2 is not a *producertest_test.receipt: invalid character 's' looking for beginning of value": func(t testing.TB) {
			producertest.RequireSent[*receipt](t, sink)
		},
		"1 messages of producertest_test.email were sent, and 0 were expected; all that was sent: 1 (type \"email\", 10 bytes), 2 (type \"receipt\", 6 bytes)": func(t testing.TB) {
			producertest.RequireNoneSent[email](t, sink)
		},
		"0 messages of string were sent, and 1 were expected; all that was sent: nothing": func(t testing.TB) {
			producertest.RequireSent[string](t, &producertest.Sink{})
		},
	} {
		require.Equal(t, want, failure(f))
	}
	require.Empty(t, failure(func(t testing.TB) { producertest.RequireSent[email](t, sink) }))
}

func TestASinkThatRefuses(t *testing.T) {
	t.Parallel()
	sink := &producertest.Sink{Codec: handler.Raw, Limits: &drivers.Capabilities{Queue: "small", MaxSend: 1, MaxMessageBytes: 3}}
	boom := errors.New("boom")
	sink.Fail(boom)
	require.ErrorIs(t, send(t, sink, &handler.Message{Body: []byte("abc")}), boom)
	sink.Fail(nil)
	require.ErrorIs(t, send(t, sink, &handler.Message{Body: []byte("abcd")}), drivers.ErrInvalid)
	require.NoError(t, send(t, sink, &handler.Message{Body: []byte("abc")}))
	require.Equal(t, "abc", producertest.RequireSent[string](t, sink).Value)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, sink.Send(ended, []*handler.Message{{}})[0], context.Canceled)
	require.NoError(t, sink.Close())
	require.ErrorIs(t, sink.Send(t.Context(), []*handler.Message{{}})[0], drivers.ErrClosed)
}
