package pubsubpush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/consumer/internal/verdict"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/letter"
	"github.com/sluice-go/sluice/internal/seldom"
)

// An Endpoint is an http.Handler that gives the messages pushed by Pub/Sub or Eventarc
// to a handler. Mount it at the path of the subscription's push endpoint. It is safe
// for concurrent use, needs no Close, and keeps no goroutine between requests: an
// http.Server's Shutdown drains it.
type Endpoint struct {
	cfg      Config
	handler  handler.Handler
	verifier *verifier // nil if every request is accepted
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

// New returns an endpoint that gives pushed messages to h. A config without audiences
// and e-mails is an error unless Insecure is set; so is a nil config. The error lists
// all faults.
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

// ServeHTTP serves one push. The package documentation has the table of its answers.
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

// Stats returns the numbers of this moment.
func (e *Endpoint) Stats() Stats {
	n := &e.counts
	return Stats{
		Counts:  e.count.Counts(),
		Foreign: n.foreign.Load(), Refused: n.refused.Load(), Malformed: n.malformed.Load(), Busy: n.busy.Load(),
		Panics: e.panics.Load(), Running: int(e.running.Load()),
	}
}

// noteUncounted logs, once a minute, that pushes lack their attempt although the
// subscription counts them: an unknown attempt is never the last. A subscription
// without a dead-letter policy does not count.
func (e *Endpoint) noteUncounted(ctx context.Context, m *handler.Message) {
	caps := e.cfg.Subscription.Capabilities()
	if m.Attempt > 0 || !caps.AttemptKnown {
		return
	}
	if missed, ok := e.uncount.Allow(time.Now(), time.Minute); ok {
		e.cfg.Logger.ErrorContext(ctx, "pushes have no deliveryAttempt: limits of attempts are not enforced",
			"queue", caps.Queue, "message", m.ID, "not_logged", missed)
	}
}

// refuse answers a request that may not push, or that can't be verified now.
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

// read parses the request. If that fails, it answers the request and returns false.
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
		e.unread(w, r, http.StatusForbidden, fmt.Errorf("the push is from the subscription %.300q, which this endpoint does not serve", p.subscription))
		return pushed{}, false
	}
	return p, true
}

// envelopeRoom bounds the size of an envelope without the message's body: a hundred
// attributes of 256 and 1,024 bytes, each of which may take six bytes in JSON, and the
// rest.
const envelopeRoom = 1 << 20

// bodyLimit returns the size of the largest request, math.MaxInt64 for no limit.
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

// unread answers a request that can't be parsed as a push.
func (e *Endpoint) unread(w http.ResponseWriter, r *http.Request, status int, err error) {
	e.counts.malformed.Add(1)
	o := e.origin.Load()
	e.observe(handler.Event{Kind: handler.EventReceiveFailed, Origin: o, Err: err})
	if missed, ok := e.malformed.Allow(time.Now(), time.Minute); ok {
		e.cfg.Logger.ErrorContext(r.Context(), "push cannot be decoded: the service pushes it again; check that Format matches the subscription",
			"queue", o.Queue, "status", status, "reason", err, "not_logged", missed)
	}
	answer(w, status)
}

// originOf returns the origin of messages from the named subscription. Usually all
// pushes are from one subscription and share its origin.
func (e *Endpoint) originOf(subscription string) *handler.Origin {
	o := e.origin.Load()
	if e.cfg.Subscription.Name() != "" || subscription == "" || o.Queue == shortName(subscription) {
		return o
	}
	o = e.newOrigin(subscription)
	e.origin.Store(o)
	return o
}

// serve runs the handler and answers the request by the verdict.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, m *handler.Message, o *handler.Origin) {
	ctx, cancel := e.handlerContext(r)
	defer cancel()
	e.running.Add(1)
	defer e.running.Add(-1)
	e.observe(handler.Event{Kind: handler.EventStarted, Origin: o, Message: m})
	received := *m
	began := time.Now()
	err := e.call(ctx, m, o)
	*m = received // the letter has none of the handler's changes
	v := verdict.Of(err, m.Attempt, e.cfg.Subscription.Capabilities().MaxAttempts, e.deadLetterCapable())
	e.observe(handler.Event{
		Kind: handler.EventHandled, Origin: o, Message: m, Action: v.Action, Duration: time.Since(began), Err: err,
	})
	if r.Context().Err() != nil && !stopped(r) {
		// Nobody waits for the answer. The service pushes the message again.
		e.cfg.Logger.WarnContext(ctx, "verdict not carried out: the service had already given up the request", "queue", o.Queue,
			"message", m.ID, "attempt", m.Attempt, "verdict", v.Action.String())
		e.observe(handler.Event{Kind: handler.EventLateVerdict, Origin: o, Message: m, Action: v.Action, Err: handler.ErrLeaseLost})
		answer(w, http.StatusServiceUnavailable)
		return
	}
	e.settle(w, r, m, o, v)
}

// call runs the handler and returns its panic as an error.
func (e *Endpoint) call(ctx context.Context, m *handler.Message, o *handler.Origin) error {
	// On its own goroutine, because a handler may end it (runtime.Goexit). Ending
	// the server's goroutine would close the connection without an answer.
	done := make(chan error, 1)
	go func() {
		err := invoke.ErrGoexit
		defer func() { done <- err }()
		var p *handler.PanicError
		p, err = invoke.Call(ctx, e.handler, m)
		e.reportFault(ctx, m, o, p, err)
	}()
	return <-done
}

// reportFault logs and counts a handler's panic: p, or one in err that a batch handler
// or a middleware has recovered and not logged.
func (e *Endpoint) reportFault(ctx context.Context, m *handler.Message, o *handler.Origin, p *handler.PanicError, err error) {
	text, stack, ok := invoke.Report(p, err)
	if !ok {
		return
	}
	e.panics.Add(1)
	e.cfg.Logger.ErrorContext(ctx, "handler panicked: the message is retried", "queue", o.Queue,
		"message", m.ID, "attempt", m.Attempt, "panic", text, "stack", stack)
}

// settle carries out a verdict.
func (e *Endpoint) settle(w http.ResponseWriter, r *http.Request, m *handler.Message, o *handler.Origin, v handler.Verdict) {
	switch v.Action {
	case handler.ActionAck:
		e.settled(w, m, o, v.Action)
	case handler.ActionDrop:
		e.cfg.Logger.InfoContext(r.Context(), "message dropped", "queue", o.Queue, "message", m.ID, "attempt", m.Attempt, "reason", invoke.Safe(v.Err))
		e.settled(w, m, o, v.Action)
	case handler.ActionDeadLetter:
		e.reject(w, r, m, o, v)
	case handler.ActionRetry:
		e.retry(w, m, o, v)
	default:
		// An action that this endpoint does not know: never lose the message.
		e.retry(w, m, o, handler.Verdict{Action: handler.ActionRetry, Err: v.Err})
	}
}

// settled acknowledges the message. The service takes 102, 200, 201, 202 and 204 as an
// acknowledgement, and no other status.
func (e *Endpoint) settled(w http.ResponseWriter, m *handler.Message, o *handler.Origin, a handler.Action) {
	e.observe(handler.Event{Kind: handler.EventSettled, Origin: o, Message: m, Action: a, Answered: a != handler.ActionDeadLetter})
	answer(w, http.StatusNoContent)
}

// retry answers so that the service pushes the message again.
func (e *Endpoint) retry(w http.ResponseWriter, m *handler.Message, o *handler.Origin, v handler.Verdict) {
	status := http.StatusInternalServerError
	delay := min(v.Delay, o.MaxDelay) // as in a consumer
	if v.Delayed {
		status = http.StatusServiceUnavailable
		// In whole seconds, rounded up. Pub/Sub ignores it; a proxy may not.
		w.Header().Set("Retry-After", strconv.FormatInt(int64((delay+time.Second-1)/time.Second), 10))
	}
	if v.Postponed {
		e.observe(handler.Event{Kind: handler.EventPostponed, Origin: o, Message: m, Delay: delay, Err: v.Err})
		e.observe(handler.Event{Kind: handler.EventReleased, Origin: o, Message: m, Action: handler.ActionRetry, Delay: delay})
		answer(w, http.StatusTooManyRequests)
		return
	}
	e.observe(handler.Event{Kind: handler.EventSettled, Origin: o, Message: m, Action: handler.ActionRetry, Delay: delay, Answered: true})
	answer(w, status)
}

// reject publishes a rejected message as a dead letter, and acknowledges it only after
// that.
func (e *Endpoint) reject(w http.ResponseWriter, r *http.Request, m *handler.Message, o *handler.Origin, v handler.Verdict) {
	if !e.deadLetterCapable() {
		if missed, ok := e.noDLQ.Allow(time.Now(), time.Minute); ok {
			e.cfg.Logger.ErrorContext(r.Context(), "message rejected, but there is no dead-letter topic: it is retried; "+
				"give the subscription one and set Config.Subscription, or set Config.DeadLetter",
				"queue", o.Queue, "message", m.ID, "reason", invoke.Safe(v.Err), "not_logged", missed)
		}
		e.observe(handler.Event{Kind: handler.EventNoDeadLetter, Origin: o, Message: m, Action: handler.ActionDeadLetter, Err: v.Err})
		e.retry(w, m, o, handler.Verdict{Err: v.Err})
		return
	}
	now := time.Now()
	f := verdict.Failure(v.Err, m, now, e.cfg.Name)
	ctx, cancel := buryContext(r)
	defer cancel()
	err := e.bury(ctx, m, f, o.Queue)
	for try := 1; err != nil && try < buryTries && drivers.CodeOf(err).Retryable() && pause(ctx, try); try++ {
		err = e.bury(ctx, m, f, o.Queue)
	}
	if err == nil {
		e.settled(w, m, o, handler.ActionDeadLetter)
		return
	}
	if missed, ok := e.failedDLQ.Allow(now, time.Minute); ok {
		e.cfg.Logger.ErrorContext(ctx, "message rejected, but its dead letter could not be published: it is retried",
			"queue", o.Queue, "message", m.ID, "reason", invoke.Safe(v.Err), "error", invoke.Safe(err), "not_logged", missed)
	}
	e.observe(handler.Event{Kind: handler.EventSettled, Origin: o, Message: m, Action: handler.ActionDeadLetter, Err: err})
	answer(w, http.StatusServiceUnavailable)
}

// deadLetterCapable reports whether there is a queue for rejected messages.
func (e *Endpoint) deadLetterCapable() bool {
	return e.cfg.DeadLetter != nil || e.cfg.Subscription.Capabilities().DeadLetter
}

// bury sends a rejected message to the dead-letter queue.
func (e *Endpoint) bury(ctx context.Context, m *handler.Message, f *drivers.Failure, queue string) (err error) {
	if e.cfg.DeadLetter == nil {
		return e.cfg.Subscription.DeadLetter(ctx, m, f)
	}
	// The sink is the user's. If it panics, it has not taken the letter.
	if failed := invoke.DoApart(func() { err = letter.Send(ctx, e.cfg.DeadLetter, m, f, queue) }); failed != nil {
		return failed
	}
	return err
}

func (e *Endpoint) newOrigin(subscription string) *handler.Origin {
	caps := e.cfg.Subscription.Capabilities()
	return &handler.Origin{Queue: shortName(subscription), System: caps.System, Server: caps.Server, MaxDelay: maxTimeout}
}

// shortName returns a subscription's ID, by which operators know it.
func shortName(subscription string) string {
	return subscription[strings.LastIndexByte(subscription, '/')+1:]
}

func (e *Endpoint) observe(ev handler.Event) {
	e.count.Observe(ev)
	e.seen.Observe(ev)
}

// answer sends a status without a reason, which could help a forger.
func answer(w http.ResponseWriter, status int) { w.WriteHeader(status) }

// handlerContext returns the context of a handler. It ends after Timeout, and when
// nobody waits for the answer any more.
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

// stopped reports whether a stop ended the request's context: its cause is then that of
// the server's base context, and the client still waits.
func stopped(r *http.Request) bool {
	return invoke.Is(context.Cause(r.Context()), handler.ErrStopped)
}
