package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/producer"
)

// The attributes that an [Inbox] sets.
const (
	// AttributeType, "type", has the event's type. Package route reads it.
	AttributeType = attribute.Kind
	// AttributeContentType has the request's Content-Type.
	AttributeContentType = "content-type"
)

// maxAttribute bounds the value of an attribute that comes from a header, in bytes.
const maxAttribute = 1024

// A Sender is the part of a [producer.Producer] that an Inbox needs. If it has a method
// Overloaded, as a producer does, the Inbox answers 429 before it reads a body. Its
// methods are called concurrently.
type Sender interface {
	Send(ctx context.Context, ms ...*handler.Message) error
}

// An Inbox is the http.Handler that queues the events of one provider. Make one with
// [New]. It is safe for concurrent use and needs no Close: http.Server's Shutdown drains
// it.
type Inbox struct {
	provider   Provider
	queue      Sender
	overloaded func() bool // nil if the queue does not report it
	cfg        Config
	slots      chan struct{}
	refused    seldom.Event
	failed     seldom.Event
}

var _ http.Handler = (*Inbox)(nil)

// New returns an Inbox that sends the provider's events to queue. A nil config has the
// defaults. The error lists all faults.
func New(p Provider, queue Sender, config *Config) (*Inbox, error) {
	c, faults := config.complete()
	if err := errors.Join(faults,
		setting.Refuse(p == nil, "the provider is nil"), setting.Refuse(queue == nil, "the queue is nil")); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	in := &Inbox{provider: p, queue: queue, cfg: c, slots: make(chan struct{}, c.MaxInFlight)}
	if o, ok := queue.(interface{ Overloaded() bool }); ok {
		in.overloaded = o.Overloaded
	}
	return in, nil
}

// ServeHTTP serves one request. The package documentation has the table of its answers.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, answer, err := in.serve(w, r)
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.FormatInt(int64((in.cfg.RetryAfter+time.Second-1)/time.Second), 10))
	case status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	if err != nil {
		in.report(r.Context(), status, err)
		// The client does not learn the reason: it would help a forger.
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer) // a client that has gone sends again
}

// report logs why a request was not taken: refusals and failures once a minute each.
func (in *Inbox) report(ctx context.Context, status int, err error) {
	text, level, event := "webhook refused", slog.LevelWarn, &in.refused
	if status == http.StatusTooManyRequests || status >= http.StatusInternalServerError {
		text, level, event = "webhook not queued: its sender is asked to send it again", slog.LevelError, &in.failed
	}
	if missed, ok := event.Allow(time.Now(), time.Minute); ok {
		in.cfg.Logger.Log(ctx, level, text, "status", status, "error", invoke.Safe(err), "others", missed)
	}
}

// serve returns the status, and the text of an answer if err is nil.
func (in *Inbox) serve(w http.ResponseWriter, r *http.Request) (status int, answer string, err error) {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, "", fmt.Errorf("the method is %.20q", r.Method)
	}
	select {
	case in.slots <- struct{}{}:
		defer func() { <-in.slots }()
	default:
		return http.StatusTooManyRequests, "", fmt.Errorf("%d requests are being served", in.cfg.MaxInFlight)
	}
	if in.overloaded != nil {
		full := false
		if failed := invoke.DoApart(func() { full = in.overloaded() }); failed != nil {
			return http.StatusServiceUnavailable, "", failed
		}
		if full {
			return http.StatusTooManyRequests, "", producer.ErrOverloaded
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, in.cfg.MaxBytes))
	if tooLarge, ok := invoke.As[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, "", fmt.Errorf("the body has more than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return http.StatusBadRequest, "", fmt.Errorf("the body can't be read: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), in.cfg.Timeout)
	defer cancel()
	e, err := in.read(ctx, r.Header, body)
	switch {
	case invoke.Is(err, ErrSignature):
		return http.StatusUnauthorized, "", err
	case invoke.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable, "", err
	case err != nil:
		return http.StatusBadRequest, "", err
	case e.Handshake:
		return http.StatusOK, e.Answer, nil
	}
	if status, err := in.enqueue(ctx, in.message(e, r.Header, body)); err != nil {
		return status, "", err
	}
	return http.StatusAccepted, "", nil
}

// read has the provider, which may be the user's, read the request, and checks the
// result.
func (in *Inbox) read(ctx context.Context, h http.Header, body []byte) (e *Event, err error) {
	if failed := invoke.DoApart(func() { e, err = in.provider.Read(ctx, h, body) }); failed != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, failed)
	}
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return nil, fmt.Errorf("%w: the provider returned neither an event nor an error", ErrUnavailable)
	case e.Handshake:
		return e, nil
	case !plain(e.ID, maxID):
		return nil, fmt.Errorf("the event's ID is not 1 to %d visible ASCII characters", maxID)
	case e.Type != "" && !plain(e.Type, maxType):
		return nil, fmt.Errorf("the event's type is not up to %d visible ASCII characters", maxType)
	}
	return e, nil
}

// message makes the message of an event.
func (in *Inbox) message(e *Event, h http.Header, body []byte) *handler.Message {
	m := &handler.Message{Body: body, DedupeID: e.ID}
	if in.cfg.Namespace != "" {
		m.DedupeID = in.cfg.Namespace + ":" + e.ID
	}
	if e.Type != "" {
		m.SetAttribute(AttributeType, e.Type)
	}
	set := func(name, value string) {
		if value != "" && len(value) <= maxAttribute && utf8.ValidString(value) {
			m.SetAttribute(name, value)
		}
	}
	set(AttributeContentType, h.Get("Content-Type"))
	for _, name := range in.cfg.Headers {
		set(strings.ToLower(name), h.Get(name))
	}
	return m
}

// enqueue sends the message and returns the status of the answer if that fails.
func (in *Inbox) enqueue(ctx context.Context, m *handler.Message) (status int, err error) {
	if failed := invoke.DoApart(func() { err = in.queue.Send(ctx, m) }); failed != nil {
		err = failed
	}
	switch {
	case err == nil:
		return http.StatusAccepted, nil
	case invoke.Is(err, producer.ErrOverloaded) || drivers.CodeOf(err) == drivers.Throttled:
		return http.StatusTooManyRequests, err
	case drivers.CodeOf(err) == drivers.Invalid:
		// Sending it again would not help: it is too large, mostly.
		return http.StatusRequestEntityTooLarge, err
	default:
		return http.StatusServiceUnavailable, err
	}
}
