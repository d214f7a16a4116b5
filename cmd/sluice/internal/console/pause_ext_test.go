package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/cmd/sluice/internal/console"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/middleware/control"
	controlopen "github.com/sluice-go/sluice/middleware/control/open"
)

// stored has the states of the queue orders in a control store.
type stored struct {
	control.Store
	fault error
}

func (stored) Has(queue string) bool { return queue == "orders" }

func (s stored) States(ctx context.Context) (map[string]control.State, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	return control.Read(ctx, s.Store, "orders")
}

func (s stored) Change(ctx context.Context, queue string, change func(*control.State)) (control.State, error) {
	return control.Update(ctx, s.Store, queue, change)
}

func TestQueuesArePausedAndResumed(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	store, err := controlopen.URL(t.Context(), "file://"+t.TempDir()+"/control.json")
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	conf := func() *console.Config {
		return &console.Config{Mux: mux, Queues: []config.Queue{memory(t, mux, "orders", 0, 0), memory(t, mux, "mail", 0, 0)}, Controls: stored{Store: store}}
	}
	c := conf()
	c.Write = true
	s := open(t, c)
	require.NotContains(t, s.get("/queues/mail").body, "Pause the consumers", "it has no control store")
	require.Equal(t, http.StatusConflict, s.post("/doctor", "/queues/mail/pause", nil).StatusCode)
	require.Equal(t, http.StatusSeeOther, s.post("/queues/orders", "/queues/orders/pause", url.Values{"reason": {"migration <b>"}}).StatusCode)
	require.Contains(t, s.get("/queues/orders").body, "paused by loopback (console) since")
	require.Contains(t, s.get("/queues/orders").body, "(migration &lt;b&gt;)")
	require.Contains(t, s.get("/").body, ">paused</span>")
	states, err := control.Read(t.Context(), store)
	require.NoError(t, err)
	require.True(t, states["orders"].Paused)

	other := open(t, conf()) // it reads only
	other.sees("/", ">paused</span>")
	require.NotContains(t, other.get("/queues/orders").body, "Resume the consumers")
	require.Equal(t, http.StatusForbidden, other.post("/doctor", "/queues/orders/resume", nil).StatusCode)
	states, err = control.Read(t.Context(), store)
	require.NoError(t, err)
	require.True(t, states["orders"].Paused)

	require.Equal(t, http.StatusSeeOther, s.post("/queues/orders", "/queues/orders/resume", nil).StatusCode)
	states, err = control.Read(t.Context(), store)
	require.NoError(t, err)
	require.False(t, states["orders"].Paused)
	require.Contains(t, s.get("/audit").body, "resumed")

	c = conf()
	c.Controls = stored{store, errors.New("no such host")}
	open(t, c).sees("/queues/orders", "Whether it is paused could not be read: no such host")
}

// A held control store answers the first two questions with what it knew when it was asked,
// once it is let go.
type held struct {
	stored
	asked, leave chan struct{}
	questions    *atomic.Int64
}

func (h held) States(ctx context.Context) (map[string]control.State, error) {
	states, err := h.stored.States(ctx)
	if h.questions.Add(1) <= 2 {
		h.asked <- struct{}{}
		<-h.leave
	}
	return states, err
}

// An answer of the control store that is older than a viewer's change does not undo it.
func TestAPauseIsNotUndoneByAnOlderReading(t *testing.T) {
	t.Parallel()
	mux := all.Mux()
	store, err := controlopen.URL(t.Context(), "file://"+t.TempDir()+"/control.json")
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	h := held{stored{Store: store}, make(chan struct{}), make(chan struct{}), new(atomic.Int64)}
	s := open(t, &console.Config{Mux: mux, Every: time.Second, Queues: []config.Queue{memory(t, mux, "orders", 0, 0)}, Controls: h, Write: true})
	<-h.asked
	require.Equal(t, http.StatusSeeOther, s.post("/queues/orders", "/queues/orders/pause", nil).StatusCode)
	h.leave <- struct{}{}
	<-h.asked // the first answer was taken in
	page := s.get("/queues/orders").body
	h.leave <- struct{}{}
	require.Contains(t, page, "Resume the consumers")
}

// The button follows the state that another operator has asked for, and a reason that was typed
// stays.
func TestAPauseOfAnotherOperatorIsFollowed(t *testing.T) {
	t.Parallel()
	store, err := controlopen.URL(t.Context(), "file://"+t.TempDir()+"/control.json")
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	s := shop(t, func(c *console.Config) { c.Write, c.Controls = true, stored{Store: store} })
	b := s.browse(t)
	b.open("/queues/orders")
	b.do(chromedp.SendKeys(chromedp.CSS("#why"), "bad deploy"))
	b.has("Pause the consumers")
	_, err = control.Update(t.Context(), store, "orders", func(s *control.State) { s.Paused, s.Pause = true, control.Change{By: "anna", At: time.Now()} })
	require.NoError(t, err)
	b.has("Resume the consumers")
	require.Equal(t, "bad deploy", eval[string](b, `document.getElementById("why").value`))
	b.link("Resume the consumers")
	b.has("Pause the consumers")
	states, err := control.Read(t.Context(), store, "orders")
	require.NoError(t, err)
	require.False(t, states["orders"].Paused)
	require.Equal(t, "bad deploy", states["orders"].Pause.Reason)
}
