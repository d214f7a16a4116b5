package snspush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/sns"
)

// An Endpoint is the http.Handler of an SNS subscription by HTTP or HTTPS with
// wrapped delivery. It is safe for concurrent use, needs no Close, and keeps no
// goroutine between requests: an http.Server's Shutdown drains it. The package
// documentation has the table of its answers.
type Endpoint struct {
	h        handler.Handler
	cfg      Config
	verifier *sns.Verifier

	dropped attribute.Drops
}

var _ http.Handler = (*Endpoint)(nil)

// New returns an endpoint that gives notifications of the topics with the given
// ARNs, at least one, to h. A nil config selects the defaults. The error lists
// all faults.
func New(h handler.Handler, topicARNs []string, config *Config) (*Endpoint, error) {
	c, faults := config.complete()
	v, untrusted := sns.NewVerifier(topicARNs, c.trust())
	if err := errors.Join(handler.Check(h), untrusted, faults); err != nil {
		return nil, fmt.Errorf("snspush: %w", err)
	}
	return &Endpoint{h: h, cfg: c, verifier: v}, nil
}

// ServeHTTP serves one request of SNS.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := e.serve(w, r)
	if err == nil {
		w.WriteHeader(status)
		return
	}
	e.cfg.Logger.WarnContext(r.Context(), "SNS request refused", "status", status, "error", err)
	// The client does not learn the reason: it would help a forger.
	http.Error(w, http.StatusText(status), status)
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) (int, error) {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, fmt.Errorf("the method is %s, not POST", r.Method)
	}
	if r.Header.Get("X-Amz-Sns-Rawdelivery") == "true" {
		return http.StatusForbidden, errors.New("raw deliveries by HTTP are not signed: switch RawMessageDelivery off")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.cfg.MaxBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", tooLarge.Limit)
	case err != nil:
		return http.StatusBadRequest, err
	}
	var d sns.Document
	if err := json.Unmarshal(body, &d); err != nil {
		return http.StatusBadRequest, fmt.Errorf("the body is not a JSON message of SNS: %w", err)
	}
	if status, err := e.check(r.Context(), &d); err != nil {
		return status, err
	}
	switch d.Type {
	case sns.TypeNotification:
		return e.notify(r.Context(), &d)
	case sns.TypeSubscription:
		return e.confirm(r.Context(), &d)
	default:
		// The document is signed, so it is true. Visiting its URL would subscribe again.
		e.cfg.Logger.WarnContext(r.Context(), "SNS subscription ended", "topic", d.TopicARN)
		return http.StatusOK, nil
	}
}

// check returns an error, and the status to answer with, unless SNS sent d.
func (e *Endpoint) check(ctx context.Context, d *sns.Document) (int, error) {
	err := e.verifier.Check(ctx, d)
	switch {
	case invoke.Is(err, sns.ErrUnreachable):
		return http.StatusServiceUnavailable, err
	case err != nil:
		return http.StatusForbidden, err
	}
	return http.StatusOK, nil
}

func (e *Endpoint) confirm(ctx context.Context, d *sns.Document) (int, error) {
	if e.cfg.ManualConfirm {
		e.cfg.Logger.WarnContext(ctx, "SNS subscription awaits its confirmation", "topic", d.TopicARN)
		return http.StatusOK, nil
	}
	err := e.verifier.Confirm(ctx, d)
	switch {
	case invoke.Is(err, sns.ErrUnreachable):
		return http.StatusServiceUnavailable, err
	case err != nil:
		return http.StatusForbidden, err
	}
	e.cfg.Logger.InfoContext(ctx, "SNS subscription confirmed", "topic", d.TopicARN)
	return http.StatusOK, nil
}

func (e *Endpoint) notify(ctx context.Context, d *sns.Document) (int, error) {
	m := &handler.Message{ID: d.MessageID}
	m.EnqueuedAt, _ = time.Parse(time.RFC3339Nano, d.Timestamp) // checked before
	m.Bind(&handler.Origin{Queue: d.TopicARN, System: "aws_sns"}, nil)
	names, err := d.Fill(m)
	e.dropped.Log(e.cfg.Logger, sns.Shadowed, m.ID, names)
	if err != nil {
		err = handler.Reject(fmt.Errorf("SNS envelope: %w", err))
	} else {
		received := *m
		err = e.call(ctx, m)
		*m = received // the letter has none of the handler's changes
	}
	v := invoke.VerdictOf(err)
	err = invoke.Safe(err)
	switch v.Action {
	case handler.ActionAck:
		return http.StatusOK, nil
	case handler.ActionDrop:
		e.cfg.Logger.WarnContext(ctx, "message dropped", "topic", d.TopicARN, "message", d.MessageID, "error", err)
		return http.StatusOK, nil
	case handler.ActionDeadLetter:
		if e.cfg.DeadLetter == nil {
			e.cfg.Logger.ErrorContext(ctx, "message rejected, but Config.DeadLetter is nil: SNS retries it", "topic", d.TopicARN, "message", d.MessageID)
			return http.StatusInternalServerError, err
		}
		var lost error
		if failed := invoke.DoApart(func() { lost = e.cfg.DeadLetter(ctx, m, err) }); failed != nil {
			lost = failed
		}
		if lost != nil {
			return http.StatusServiceUnavailable, fmt.Errorf("dead-letter message %s of %s: %w", d.MessageID, d.TopicARN, invoke.Safe(lost))
		}
		return http.StatusOK, nil
	default:
		if v.Postponed {
			e.cfg.Logger.InfoContext(ctx, "message postponed: SNS sends it again", "topic", d.TopicARN, "message", d.MessageID, "reason", err)
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusServiceUnavailable, fmt.Errorf("message %s of %s: %w", d.MessageID, d.TopicARN, err)
	}
}

// call runs the handler on a new goroutine, because a handler may call
// runtime.Goexit.
func (e *Endpoint) call(ctx context.Context, m *handler.Message) error {
	var (
		p   *handler.PanicError
		err error
	)
	if failed := invoke.DoApart(func() { p, err = invoke.Call(ctx, e.h, m) }); failed != nil {
		return failed
	}
	if text, stack, ok := invoke.Report(p, err); ok {
		e.cfg.Logger.ErrorContext(ctx, "handler panicked: SNS retries the message", "message", m.ID, "panic", text, "stack", stack)
	}
	return err
}
