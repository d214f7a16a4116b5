package consumer_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/sleep"
	"github.com/sluice-go/sluice/internal/test/output"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a consumer that runs in a synctest bubble, with its logs and events.
type world struct {
	t      *testing.T
	c      *consumer.Consumer
	cancel context.CancelFunc
	done   chan error
	ended  chan struct{} // closed when Run has returned
	logs   *logs
	events *events
}

// start runs a consumer of q. The test ends it with stop, or waits for its end.
func start(t *testing.T, q drivers.Source, h handler.HandlerFunc, cfg consumer.Config) *world {
	t.Helper()
	return startAll(t, []consumer.Weighted{{Source: q}}, h, cfg)
}

func startAll(t *testing.T, sources []consumer.Weighted, h handler.HandlerFunc, cfg consumer.Config) *world {
	t.Helper()
	w := &world{t: t, logs: &logs{}, events: &events{}, done: make(chan error, 1), ended: make(chan struct{})}
	cfg.Logger = w.logs.logger()
	cfg.Observers = append(cfg.Observers, w.events)
	c, err := consumer.NewWeighted(sources, h, &cfg)
	require.NoError(t, err)
	w.c = c
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	w.cancel = cancel
	go func() {
		defer close(w.ended)
		w.done <- c.Run(ctx)
	}()
	t.Cleanup(func() { // of a test that failed
		cancel()
		<-w.ended
	})
	synctest.Wait()
	return w
}

type key struct{}

// stop ends the consumer and returns Run's error.
func (w *world) stop() error {
	w.cancel()
	return <-w.done
}

// pass lets time pass in the bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// logs collects log lines.
type logs struct{ output.Buffer }

// logger returns a logger that writes there.
func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count returns the number of lines that contain text.
func (l *logs) count(text string) int {
	n := 0
	for line := range strings.SplitSeq(l.String(), "\n") {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// events collects events; the message's ID is kept, not the message.
type events struct {
	mu   sync.Mutex
	list []event
}

type event struct {
	handler.Event
	id string
}

func (o *events) Observe(e handler.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := ""
	if e.Message != nil {
		id = e.Message.ID
	}
	e.Message = nil
	o.list = append(o.list, event{e, id})
}

// of returns the events of one kind.
func (o *events) of(kind handler.EventKind) []event {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []event
	for _, e := range o.list {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// order records steps in their order.
type order struct {
	mu   sync.Mutex
	list []string
}

func (o *order) add(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, s)
}

func (o *order) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.list...)
}

func fault(c drivers.Code) error {
	return &drivers.Error{Code: c, Queue: "orders", Op: "test"}
}

func ack(context.Context, *handler.Message) error { return nil }

// lasting is a handler that takes a while, or until it is canceled.
func lasting(d time.Duration) handler.HandlerFunc {
	return func(ctx context.Context, _ *handler.Message) error {
		return sleep.For(ctx, d)
	}
}

// keeping is a handler that keeps its lease, as the heartbeat middleware does.
func keeping(o handler.KeepOptions, h handler.HandlerFunc) handler.HandlerFunc {
	return func(ctx context.Context, m *handler.Message) error {
		stop, err := m.Lease().Keep(o)
		if err != nil {
			return err
		}
		defer stop()
		return h(ctx, m)
	}
}
