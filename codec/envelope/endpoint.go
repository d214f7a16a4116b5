package envelope

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
)

// The defaults of [SNSEndpointConfig].
const (
	// DefaultSNSMaxAge covers the hour over which SNS retries a delivery by
	// HTTPS at most.
	DefaultSNSMaxAge   = 65 * time.Minute
	DefaultSNSMaxBytes = 2 << 20
	DefaultSNSCertName = "sns.amazonaws.com"

	// maxSkew is how far SNS's clock may be ahead of this one.
	maxSkew = 5 * time.Minute
	// fetchTimeout bounds each request to SNS.
	fetchTimeout = 10 * time.Second
)

// SNSEndpointConfig has what is rarely needed. The zero value has the defaults.
type SNSEndpointConfig struct {
	// AllowSHA1 admits signature version 1, which SNS uses where a topic's
	// SignatureVersion is not 2. False refuses it.
	AllowSHA1 bool
	// MaxAge is how old a notification may be, against replays; what is older is
	// refused for good. Within it a replay is a duplicate like those that SNS
	// itself delivers. Zero means [DefaultSNSMaxAge].
	MaxAge time.Duration
	// MaxBytes is the longest request body. Zero means [DefaultSNSMaxBytes].
	MaxBytes int64
	// Client makes the requests to SNS, for certificates and confirmations, and
	// validates its TLS certificate chain and host name. Its CheckRedirect is
	// not used: no redirect is followed. Nil means one with a timeout of 10
	// seconds and a new connection for each request.
	Client *http.Client
	// Host says which hosts, with their port if any, are SNS's. Nil means
	// sns.REGION.amazonaws.com and sns.REGION.amazonaws.com.cn.
	Host func(host string) bool
	// CertName is the name that signing certificates must be for. Empty means
	// [DefaultSNSCertName]. Regions in China and GovCloud have their own.
	CertName string
	// Roots are what the signing certificate's chain must end in; its file must
	// then have the intermediates. Nil trusts the TLS chain of the host that it
	// came from, as AWS's own SDKs do: SNS serves the certificate alone.
	Roots *x509.CertPool
	// ManualConfirm leaves subscriptions unconfirmed: the request is logged,
	// without its token, and answered by 200.
	ManualConfirm bool
	// DeadLetter takes rejected messages; with nil from it they are acked. Nil
	// means that rejections are answered by 500, for SNS to retry and to hand to
	// the subscription's own dead-letter queue, and logged as errors.
	DeadLetter func(ctx context.Context, m *handler.Message, reason error) error
	// Logger gets refusals, confirmations and rejections, never a body. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// SNSEndpoint is the http.Handler of an SNS subscription by HTTP or HTTPS, with
// wrapped delivery: raw deliveries are not signed, and refused.
//
// Answers: 200 for ack and drop; 503 for a retry and for a postponement, whose
// delay is up to the subscription's delivery policy; for a rejection see DeadLetter; 403 for what is
// not from SNS or not of a declared topic, which SNS does not retry; 503 where
// the certificate cannot be had.
//
// Subject, Message and the other fields are signed; the publisher's
// MessageAttributes are not (SNS leaves them out), so that nothing about trust
// must hang on them where others than SNS can reach the endpoint. Deliveries have
// no lease.
type SNSEndpoint struct {
	h      handler.Handler
	topics []string
	c      SNSEndpointConfig
	v      *verifier
	log    *slog.Logger

	dropped attribute.Drops
}

// NewSNSEndpoint returns the endpoint that hands notifications of the declared
// topics to h. A nil config has the defaults.
func NewSNSEndpoint(h handler.Handler, topicARNs []string, config *SNSEndpointConfig) (*SNSEndpoint, error) {
	var c SNSEndpointConfig
	if config != nil {
		c = *config
	}
	var faults []error
	if err := handler.Check(h); err != nil {
		faults = append(faults, err)
	}
	topics, err := declared(topicARNs)
	if err != nil {
		faults = append(faults, err)
	}
	if c.MaxAge < 0 {
		faults = append(faults, fmt.Errorf("MaxAge is %v, below zero", c.MaxAge))
	}
	if c.MaxBytes < 0 {
		faults = append(faults, fmt.Errorf("MaxBytes is %d, below zero", c.MaxBytes))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("envelope: SNS endpoint: %w", errors.Join(faults...))
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultSNSMaxAge
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultSNSMaxBytes
	}
	if c.CertName == "" {
		c.CertName = DefaultSNSCertName
	}
	host := c.Host
	if host == nil {
		host = snsHost.MatchString
	}
	c.Host = func(name string) (is bool) {
		// One that panics knows no host.
		return invoke.DoApart(func() { is = host(name) }) == nil && is
	}
	c.Logger = invoke.Logger(c.Logger)
	// SNS is asked too seldom for a connection to be kept, which may have died.
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert,forbidigo // the standard library's own; the copy is ours
	t.DisableKeepAlives = true
	client := http.Client{Timeout: fetchTimeout, Transport: t}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	v := &verifier{client: &client, host: c.Host, name: c.CertName, roots: c.Roots, sha1: c.AllowSHA1, fetched: map[string]*x509.Certificate{}}
	return &SNSEndpoint{h: h, topics: topics, c: c, v: v, log: c.Logger}, nil
}

// ServeHTTP takes one request of SNS. It is called concurrently.
func (e *SNSEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, err := e.serve(w, r)
	if err == nil {
		w.WriteHeader(status)
		return
	}
	e.log.WarnContext(r.Context(), "SNS request not taken", "status", status, "error", err)
	// The reason stays here: it would help whoever is trying.
	http.Error(w, http.StatusText(status), status)
}

func (e *SNSEndpoint) serve(w http.ResponseWriter, r *http.Request) (int, error) {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, fmt.Errorf("the method is %s", r.Method)
	}
	if r.Header.Get("X-Amz-Sns-Rawdelivery") == "true" {
		return http.StatusForbidden, errors.New("raw deliveries by HTTP are not signed: switch RawMessageDelivery off")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.c.MaxBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", tooLarge.Limit)
	case err != nil:
		return http.StatusBadRequest, err
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return http.StatusBadRequest, fmt.Errorf("the body is not SNS's JSON: %w", err)
	}
	if status, err := e.check(r.Context(), &d); err != nil {
		return status, err
	}
	switch d.Type {
	case typeNotification:
		return e.notify(r.Context(), &d)
	case "SubscriptionConfirmation":
		return e.confirm(r.Context(), &d)
	default:
		// Signed, so that it is true; to confirm it again would undo it.
		e.log.WarnContext(r.Context(), "SNS subscription ended", "topic", d.TopicARN)
		return http.StatusOK, nil
	}
}

// check refuses what is not from SNS. The cheap checks come first, so that a
// forger cannot have this program ask anyone.
func (e *SNSEndpoint) check(ctx context.Context, d *document) (int, error) {
	switch d.Type {
	case typeNotification, "SubscriptionConfirmation", "UnsubscribeConfirmation":
	default:
		return http.StatusForbidden, fmt.Errorf("the type %q is not known", d.Type)
	}
	if !slices.Contains(e.topics, d.TopicARN) {
		return http.StatusForbidden, fmt.Errorf("the topic %q is not declared", d.TopicARN)
	}
	at, err := time.Parse(time.RFC3339Nano, d.Timestamp)
	if err != nil {
		return http.StatusForbidden, errors.New("the timestamp cannot be read")
	}
	if age := time.Since(at); age > e.c.MaxAge || age < -maxSkew {
		return http.StatusForbidden, fmt.Errorf("the notification is %v old, and %v is allowed (Config.MaxAge)", age.Round(time.Second), e.c.MaxAge)
	}
	if d.Message == nil || d.MessageID == "" {
		return http.StatusForbidden, errors.New("Message or MessageId is missing")
	}
	// Apart, since the client that gets the certificate is the user's.
	if failed := invoke.DoApart(func() { err = e.v.verify(ctx, d) }); failed != nil {
		err = fmt.Errorf("%w: %w", errUnreachable, failed)
	}
	switch {
	case invoke.Is(err, errUnreachable):
		return http.StatusServiceUnavailable, err
	case err != nil:
		return http.StatusForbidden, err
	}
	return http.StatusOK, nil
}

func (e *SNSEndpoint) confirm(ctx context.Context, d *document) (int, error) {
	if e.c.ManualConfirm {
		e.log.WarnContext(ctx, "SNS subscription waits for its confirmation", "topic", d.TopicARN)
		return http.StatusOK, nil
	}
	u, err := e.v.url(d.SubscribeURL)
	if err != nil {
		return http.StatusForbidden, fmt.Errorf("SubscribeURL: %w", err)
	}
	if failed := invoke.DoApart(func() { _, err = e.v.get(ctx, u.String()) }); failed != nil || err != nil {
		return http.StatusServiceUnavailable, fmt.Errorf("confirm the subscription to %s: SNS did not answer with 200", d.TopicARN)
	}
	e.log.InfoContext(ctx, "SNS subscription confirmed", "topic", d.TopicARN)
	return http.StatusOK, nil
}

func (e *SNSEndpoint) notify(ctx context.Context, d *document) (int, error) {
	m := &handler.Message{ID: d.MessageID}
	m.EnqueuedAt, _ = time.Parse(time.RFC3339Nano, d.Timestamp) // checked before
	m.Bind(&handler.Origin{Queue: d.TopicARN, System: "aws_sns"}, nil)
	names, err := d.fill(m)
	e.dropped.Log(e.log, shadowed, m.ID, names)
	if err != nil {
		err = handler.Reject(fmt.Errorf("SNS envelope: %w", err))
	} else {
		received := *m
		err = e.call(ctx, m)
		*m = received // the handler's own changes are not the letter's
	}
	v := invoke.VerdictOf(err)
	err = invoke.Safe(err)
	switch v.Action {
	case handler.ActionAck:
		return http.StatusOK, nil
	case handler.ActionDrop:
		e.log.WarnContext(ctx, "message dropped", "topic", d.TopicARN, "message", d.MessageID, "error", err)
		return http.StatusOK, nil
	case handler.ActionDeadLetter:
		if e.c.DeadLetter == nil {
			e.log.ErrorContext(ctx, "message rejected, and there is no dead-letter function: SNS retries it", "topic", d.TopicARN, "message", d.MessageID)
			return http.StatusInternalServerError, err
		}
		var lost error
		if failed := invoke.DoApart(func() { lost = e.c.DeadLetter(ctx, m, err) }); failed != nil {
			lost = failed
		}
		if lost != nil {
			return http.StatusServiceUnavailable, fmt.Errorf("dead-letter message %s of %s: %w", d.MessageID, d.TopicARN, invoke.Safe(lost))
		}
		return http.StatusOK, nil
	default:
		if v.Postponed {
			e.log.InfoContext(ctx, "message postponed: SNS sends it again", "topic", d.TopicARN, "message", d.MessageID, "reason", err)
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusServiceUnavailable, fmt.Errorf("message %s of %s: %w", d.MessageID, d.TopicARN, err)
	}
}

// call runs the handler on a goroutine of its own, which it may end.
func (e *SNSEndpoint) call(ctx context.Context, m *handler.Message) error {
	var (
		p   *handler.PanicError
		err error
	)
	if failed := invoke.DoApart(func() { p, err = invoke.Call(ctx, e.h, m) }); failed != nil {
		return failed
	}
	if text, stack, ok := invoke.Report(p, err); ok {
		e.log.ErrorContext(ctx, "handler panicked: SNS retries the message", "message", m.ID, "panic", text, "stack", stack)
	}
	return err
}
