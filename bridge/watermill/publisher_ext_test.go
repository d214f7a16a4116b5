package watermill_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bridge/watermill"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
)

// toMemory returns a publisher whose topics are queues in memory, and their mux.
func toMemory(t testing.TB, cfg *watermill.PublisherConfig) (message.Publisher, *drivers.Mux) {
	t.Helper()
	mux := drivers.NewMux(&mem.Opener{})
	p, err := watermill.NewPublisher(func(ctx context.Context, topic string) (drivers.Sink, error) {
		return mux.OpenSink(ctx, "mem://"+topic, nil)
	}, cfg)
	require.NoError(t, err)
	return p, mux
}

func receive(t testing.TB, mux *drivers.Mux, topic string, n int) (ms []*handler.Message) {
	t.Helper()
	source, err := mux.OpenSource(t.Context(), "mem://"+topic, nil)
	require.NoError(t, err)
	for len(ms) < n {
		ds, err := source.Receive(t.Context(), 1, 30*time.Second)
		require.NoError(t, err)
		require.NotEmpty(t, ds, "fewer messages came than were published")
		for _, d := range ds {
			ms = append(ms, d.Message)
		}
	}
	require.NoError(t, source.Close())
	return ms
}

func TestPublishedMessagesArriveWithTheirUUID(t *testing.T) {
	p, mux := toMemory(t, &watermill.PublisherConfig{Prepare: func(topic string, from *message.Message, to *handler.Message) error {
		to.Group = topic + "/" + from.UUID
		return nil
	}})
	const n = 25 // more than a batch
	var out []*message.Message
	for i := range n {
		m := message.NewMessage(fmt.Sprint("uuid-", i), fmt.Append(nil, i))
		m.Metadata.Set("k", "v")
		out = append(out, m)
	}
	require.NoError(t, p.Publish("orders", out...))
	require.NoError(t, p.Publish("orders"))
	require.NotContains(t, out[0].Metadata, "_watermill_message_uuid", "the publisher's message is not changed")

	seen := map[string]bool{}
	for _, m := range receive(t, mux, "orders", n) {
		require.Equal(t, "v", m.Attributes["k"])
		h, err := watermill.NewHandler(func(wm *message.Message) error {
			seen[wm.UUID] = true
			require.Equal(t, "uuid-"+string(wm.Payload), wm.UUID)
			require.Equal(t, "orders/"+wm.UUID, m.Group)
			require.Equal(t, message.Metadata{"k": "v"}, wm.Metadata)
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, h.Handle(t.Context(), m))
	}
	require.Len(t, seen, n)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Publish("orders", out...), watermill.ErrClosed)
}

func TestWhatCannotBePublishedIsAnError(t *testing.T) {
	_, err := watermill.NewPublisher(nil, nil)
	require.ErrorContains(t, err, "opens a topic's sink is nil")

	boom := errors.New("boom")
	p, _ := toMemory(t, &watermill.PublisherConfig{Prepare: func(string, *message.Message, *handler.Message) error { return boom }})
	require.ErrorIs(t, p.Publish("orders", message.NewMessage("1", nil)), boom)

	p, err = watermill.NewPublisher(func(context.Context, string) (drivers.Sink, error) { return nil, boom }, nil)
	require.NoError(t, err)
	require.ErrorIs(t, p.Publish("orders", message.NewMessage("1", nil)), boom)

	p, _ = toMemory(t, nil)
	ended, cancel := context.WithCancel(t.Context())
	require.NoError(t, p.Publish("orders", message.NewMessage("1", nil)))
	cancel()
	require.ErrorIs(t, p.Publish("orders", message.NewMessageWithContext(ended, "2", nil)), context.Canceled)
}

// A Watermill handler's messages go to another of Sluice's queues.
func ExampleNewPublisher() {
	mux := drivers.NewMux(&mem.Opener{})
	p, err := watermill.NewPublisher(func(ctx context.Context, topic string) (drivers.Sink, error) {
		return mux.OpenSink(ctx, "mem://"+topic, nil)
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	h, err := watermill.NewPublishingHandler(func(m *message.Message) ([]*message.Message, error) {
		return message.Messages{message.NewMessage("receipt-1", append([]byte("paid: "), m.Payload...))}, nil
	}, "receipts", p)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(handler.VerdictOf(h.Handle(context.Background(), one())).Action)

	source, err := mux.OpenSource(context.Background(), "mem://receipts", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	ds, err := source.Receive(context.Background(), 1, time.Second)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(ds[0].Message.Body), ds[0].Message.Attributes)
	// Output:
	// ack
	// paid: coffee map[_watermill_message_uuid:receipt-1]
}

// A topic whose opening takes long holds up nobody but those who publish to it.
func TestATopicThatIsBeingOpenedHoldsUpNoOther(t *testing.T) {
	for _, how := range []string{"opens", "fails", "panics"} {
		t.Run(how, func(t *testing.T) {
			mux := drivers.NewMux(&mem.Opener{})
			begun, end := make(chan struct{}), make(chan struct{})
			slow := 0
			p, err := watermill.NewPublisher(func(ctx context.Context, topic string) (drivers.Sink, error) {
				if topic == "slow" {
					if slow++; slow == 1 {
						close(begun)
						<-end
						switch how {
						case "fails":
							return nil, errors.New("broken")
						case "panics":
							panic("broken")
						}
					}
				}
				return mux.OpenSink(ctx, "mem://"+topic, nil)
			}, nil)
			require.NoError(t, err)
			first, second := make(chan error, 1), make(chan error, 1)
			go func() {
				defer func() {
					if v := recover(); v != nil {
						first <- fmt.Errorf("panic: %v", v)
					}
				}()
				first <- p.Publish("slow", message.NewMessage("1", nil))
			}()
			<-begun
			require.NoError(t, p.Publish("quick", message.NewMessage("2", nil)))
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			late := message.NewMessage("3", nil)
			late.SetContext(ended)
			require.ErrorIs(t, p.Publish("slow", late), context.Canceled)
			go func() { second <- p.Publish("slow", message.NewMessage("4", nil)) }()
			close(end)
			if how == "opens" {
				require.NoError(t, <-first)
			} else {
				require.ErrorContains(t, <-first, "broken")
			}
			require.NoError(t, <-second)
			require.NoError(t, p.Close())
		})
	}
}

type closing struct {
	drivers.Sink
	closed chan struct{}
}

func (c closing) Close() error { close(c.closed); return c.Sink.Close() }

// A sink that is opened after Close is closed by the one who opened it.
func TestASinkThatOpensAfterCloseIsClosed(t *testing.T) {
	mux := drivers.NewMux(&mem.Opener{})
	begun, end, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	p, err := watermill.NewPublisher(func(ctx context.Context, topic string) (drivers.Sink, error) {
		close(begun)
		<-end
		s, err := mux.OpenSink(ctx, "mem://"+topic, nil)
		return closing{s, closed}, err
	}, nil)
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() { sent <- p.Publish("slow", message.NewMessage("1", nil)) }()
	<-begun
	require.NoError(t, p.Close())
	close(end)
	require.ErrorIs(t, <-sent, watermill.ErrClosed)
	<-closed
}
