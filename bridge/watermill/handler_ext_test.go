package watermill_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bridge/watermill"
	"github.com/sluice-go/sluice/handler"
)

type publisher struct {
	sent []string
	err  error
}

func (p *publisher) Publish(topic string, ms ...*message.Message) error {
	if p.err != nil {
		return p.err
	}
	for _, m := range ms {
		p.sent = append(p.sent, topic+": "+string(m.Payload))
	}
	return nil
}

func (*publisher) Close() error { return nil }

func one() *handler.Message {
	return &handler.Message{ID: "7", Body: []byte("coffee"), Attributes: map[string]string{"k": "v"}}
}

func TestTheErrorIsTheVerdict(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		handle message.NoPublishHandlerFunc
		want   handler.Action
		is     error
	}{
		"nil acks":                  {func(*message.Message) error { return nil }, handler.ActionAck, nil},
		"an error retries":          {func(*message.Message) error { return boom }, handler.ActionRetry, boom},
		"a rejection rejects":       {func(*message.Message) error { return handler.Reject(boom) }, handler.ActionDeadLetter, boom},
		"its own ack is no matter":  {func(m *message.Message) error { m.Ack(); return nil }, handler.ActionAck, nil},
		"its own nack is a retry":   {func(m *message.Message) error { m.Nack(); return nil }, handler.ActionRetry, watermill.ErrNacked},
		"an error overrules an ack": {func(m *message.Message) error { m.Ack(); return boom }, handler.ActionRetry, boom},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := watermill.NewHandler(c.handle)
			require.NoError(t, err)
			err = h.Handle(t.Context(), one())
			require.Equal(t, c.want, handler.VerdictOf(err).Action)
			require.ErrorIs(t, err, c.is)
		})
	}
}

func TestTheMessageArrivesWhole(t *testing.T) {
	type key struct{}
	m := one()
	h, err := watermill.NewHandler(func(wm *message.Message) error {
		require.Equal(t, "7", wm.UUID)
		require.Equal(t, "coffee", string(wm.Payload))
		require.Equal(t, "here", wm.Context().Value(key{}))
		require.Equal(t, message.Metadata{"k": "v"}, wm.Metadata)
		wm.Metadata.Set("k", "changed")
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, h.Handle(context.WithValue(t.Context(), key{}, "here"), m))
	require.Equal(t, "v", m.Attributes["k"], "the handler's metadata are a copy")
}

func TestPublishedBeforeTheAck(t *testing.T) {
	p := &publisher{}
	twice := func(m *message.Message) ([]*message.Message, error) {
		return []*message.Message{m.Copy(), m.Copy()}, nil
	}
	h, err := watermill.NewPublishingHandler(twice, "out", p)
	require.NoError(t, err)
	require.NoError(t, h.Handle(t.Context(), one()))
	require.Equal(t, []string{"out: coffee", "out: coffee"}, p.sent)

	p.err = errors.New("no broker")
	err = h.Handle(t.Context(), one())
	require.ErrorIs(t, err, p.err)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	_, err := watermill.NewHandler(nil)
	require.ErrorContains(t, err, "the handler is nil")
	_, err = watermill.NewPublishingHandler(nil, "out", nil)
	require.ErrorContains(t, err, "the handler is nil")
	require.ErrorContains(t, err, "the publisher is nil")
}

// A Watermill handler keeps its middleware when it moves.
func ExampleChain() {
	trace := func(name string) message.HandlerMiddleware {
		return func(h message.HandlerFunc) message.HandlerFunc {
			return func(m *message.Message) ([]*message.Message, error) {
				fmt.Println(name)
				return h(m)
			}
		}
	}
	p := &publisher{}
	h, err := watermill.NewPublishingHandler(watermill.Chain(message.PassthroughHandler, trace("outer"), trace("inner")), "out", p)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = h.Handle(context.Background(), one())
	fmt.Println(p.sent, handler.VerdictOf(err).Action)
	// Output:
	// outer
	// inner
	// [out: coffee] ack
}
