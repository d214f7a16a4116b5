package pubsubpush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/drivers/pubsub"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

// An Endpoint receives what Pub/Sub or Eventarc pushes and gives it to a handler.
// It is an http.Handler, to be mounted at the path of the subscription's push
// endpoint. It is safe for concurrent use, has nothing to close, and keeps no
// goroutine between requests: an http.Server's Shutdown drains it.
type Endpoint struct {
	cfg      Config
	handler  handler.Handler
	verifier *verifier // nil where every request is accepted
	slots    chan struct{}
	running  atomic.Int64
	origin   atomic.Pointer[handler.Origin] // of the subscription that pushed last
	count    handler.Counter
	counts   counts
	panics   atomic.Uint64
	seen     *invoke.Observers

	refusals, malformed, noDLQ, failedDLQ, uncount seldom.Event
}

var _ http.Handler = (*Endpoint)(nil)

// New returns an endpoint that gives what is pushed to h. Without a config, and
// without audience and e-mail in it, it is an error unless the config says
// Insecure. The error tells every fault of the config.
func New(h handler.Handler, config *Config) (*Endpoint, error) {
	if err := handler.Check(h); err != nil {
		return nil, fmt.Errorf("pubsubpush: %w", err)
	}
	c, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("pubsubpush: %w", err)
	}
	e := &Endpoint{cfg: c, handler: h, slots: make(chan struct{}, c.Concurrency), seen: invoke.NewObservers(c.Observers, c.Logger)}
	e.origin.Store(e.newOrigin(c.Subscription.Name()))
	if !c.Insecure {
		e.verifier = &verifier{
			keys:      &keySet{url: c.KeysURL, client: c.KeysClient, interval: c.KeysInterval, log: c.Logger},
			audiences: c.Audiences, emails: c.Emails, skew: c.ClockSkew,
		}
	}
	return e, nil
}

// ServeHTTP takes one push. The package's comment has the table of its answers.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed)
		return
	}
	if e.verifier != nil {
		if err := e.verifier.verify(r.Context(), r.Header); err != nil {
			e.refuse(w, r, err)
			return
		}
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		e.counts.busy.Add(1)
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusTooManyRequests)
		return
	}
	p, ok := e.read(w, r)
	if !ok {
		return
	}
	m, own := e.cfg.Subscription.Read(p.received, p.subscription)
	if !own {
		e.counts.foreign.Add(1)
		answer(w, http.StatusNoContent)
		return
	}
	o := e.originOf(p.subscription)
	m.Bind(o, nil) // no lease: its deadline is the service's
	e.noteUncounted(r.Context(), m)
	e.observe(handler.Event{Kind: handler.EventReceived, Origin: o, N: 1})
	e.serve(w, r, m, o)
}

// noteUncounted logs, once a minute, that pushes come without their attempt although
// the subscription counts them: a message whose attempt is not known is never at its
// last. A subscription without a dead-letter policy does not count.
func (e *Endpoint) noteUncounted(ctx context.Context, m *handler.Message) {
	caps := e.cfg.Subscription.Capabilities()
	if m.Attempt > 0 || !caps.AttemptKnown {
		return
	}
	if missed, ok := e.uncount.Allow(time.Now(), time.Minute); ok {
		e.cfg.Logger.ErrorContext(ctx, "pushes come without deliveryAttempt: limits of attempts do not hold",
			"queue", caps.Queue, "message", m.ID, "not_logged", missed)
	}
}

// refuse answers a request that may not push, or of which that cannot be told.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusUnauthorized
	switch {
	case invoke.Is(err, errKeys), r.Context().Err() != nil:
		status = http.StatusServiceUnavailable
	case invoke.Is(err, errForbidden):
		status = http.StatusForbidden
	default:
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	e.counts.refused.Add(1)
	if missed, ok := e.refusals.Allow(time.Now(), time.Minute); ok {
		e.cfg.Logger.WarnContext(r.Context(), "push refused", "queue", e.cfg.Subscription.Name(), "status", status,
			"reason", err, "remote", r.RemoteAddr, "not_logged", missed)
	}
	answer(w, status)
}

// read reads the request, or answers it where it cannot be read.
func (e *Endpoint) read(w http.ResponseWriter, r *http.Request) (pushed, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.bodyLimit()))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		e.unread(w, r, http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", large.Limit))
		return pushed{}, false
	}
	if err != nil {
		e.unread(w, r, http.StatusBadRequest, errors.New("the request ended before its body did"))
		return pushed{}, false
	}
	var p pushed
	switch e.cfg.Format {
	case Unwrapped:
		p, err = readUnwrapped(r.Header, body)
	case CloudEvents:
		p, err = readCloudEvent(r.Header, body)
	default:
		p, err = readWrapped(body)
	}
	if err == nil && len(p.received.GetMessage().GetData()) > e.cfg.MaxMessageBytes {
		e.unread(w, r, http.StatusRequestEntityTooLarge, fmt.Errorf("the message has more than %d bytes", e.cfg.MaxMessageBytes))
		return pushed{}, false
	}
	if err != nil {
		e.unread(w, r, http.StatusBadRequest, err)
		return pushed{}, false
	}
	if mine := e.cfg.Subscription.Name(); mine != "" && p.subscription != "" && p.subscription != mine {
		// Its dead letters would go to the wrong topic.
		e.unread(w, r, http.StatusForbidden, fmt.Errorf("the push is of %.300q", p.subscription))
		return pushed{}, false
	}
	return p, true
}

// envelopeRoom is what an envelope may have beside the message's body: a hundred
// attributes of 256 and 1,024 bytes, each of which JSON may write in six, and the
// rest.
const envelopeRoom = 1 << 20

// bodyLimit is the size of the largest request, which may be no limit at all.
func (e *Endpoint) bodyLimit() int64 {
	n := int64(e.cfg.MaxMessageBytes)
	if n > (math.MaxInt64-envelopeRoom)/4*3-2 {
		return math.MaxInt64
	}
	if e.cfg.Format != Unwrapped {
		n = (n + 2) / 3 * 4 // base64, in the envelope
	}
	return n + envelopeRoom
}

// unread answers a request that is no push which could be handled.
func (e *Endpoint) unread(w http.ResponseWriter, r *http.Request, status int, err error) {
	e.counts.malformed.Add(1)
	o := e.origin.Load()
	e.observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: o, Err: err})
	if missed, ok := e.malformed.Allow(time.Now(), time.Minute); ok {
		e.cfg.Logger.ErrorContext(r.Context(), "push cannot be read: the service pushes it again; is Format what the subscription is set up for?",
			"queue", o.Queue, "status", status, "reason", err, "not_logged", missed)
	}
	answer(w, status)
}

// originOf is the origin of a message from the named subscription. Usually all are
// of one, whose origin is shared.
func (e *Endpoint) originOf(subscription string) *handler.Origin {
	o := e.origin.Load()
	if e.cfg.Subscription.Name() != "" || subscription == "" || o.Queue == shortName(subscription) {
		return o
	}
	o = e.newOrigin(subscription)
	e.origin.Store(o)
	return o
}

func (e *Endpoint) newOrigin(subscription string) *handler.Origin {
	caps := e.cfg.Subscription.Capabilities()
	return &handler.Origin{Queue: shortName(subscription), System: pubsub.System, Server: caps.Server, MaxDelay: maxTimeout}
}

// shortName is a subscription's ID, which is what operators call it.
func shortName(subscription string) string {
	return subscription[strings.LastIndexByte(subscription, '/')+1:]
}

func (e *Endpoint) observe(ev handler.Event) {
	e.count.Observe(ev)
	e.seen.Observe(ev)
}

// answer tells the service no more than a status: what went wrong is nothing for
// whoever can send a request.
func answer(w http.ResponseWriter, status int) { w.WriteHeader(status) }

// handlerContext is the context under which a push is handled: it ends with
// Timeout, and when nobody waits for the answer any more.
func (e *Endpoint) handlerContext(r *http.Request) (context.Context, context.CancelFunc) {
	gone, lose := context.WithCancelCause(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), func() {
		if stopped(r) {
			lose(context.Cause(r.Context()))
			return
		}
		lose(handler.ErrLeaseLost)
	})
	ctx, cancel := context.WithTimeout(gone, e.cfg.Timeout)
	return ctx, func() {
		cancel()
		stop()
		lose(nil)
	}
}

// stopped is true where the request's context was ended by a stop, whose cause the
// server's base context then has: the client is still there and waits.
func stopped(r *http.Request) bool {
	return invoke.Is(context.Cause(r.Context()), handler.ErrStopped)
}
