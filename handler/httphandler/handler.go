package httphandler

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/reach"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/seldom"
)

const (
	// answerKept is how much of an answer goes into the reason of a failure,
	// answerRead how much is read so that the connection can be used again.
	answerKept = 500
	answerRead = 64 << 10
	// answerPatience is how long the rest of an answer may take whose status is
	// known: the verdict does not depend on it.
	answerPatience = 5 * time.Second
)

// soon is the delay if an endpoint says that a message may come now: the first one of
// the backoff middleware. No delay would spend all attempts in a moment, and the
// queue's own would differ from provider to provider.
const soon = time.Second

// errTimeout is the cause with which a request ends that took too long.
var errTimeout = errors.New("the endpoint took too long")

// A Handler posts messages. Make one with [New]. It may be used concurrently.
type Handler struct {
	url    string
	config Config
	client atomic.Pointer[http.Client]
	own    bool // the transport is New's
	reach  *reach.Gate
	// dropped and long are that attributes were not passed on, for their names and
	// for their length.
	dropped attribute.Drops
	long    seldom.Event
	// traced reports whether the transport reports which requests got a connection.
	traced bool
}

// New returns a handler that posts to an http:// or https:// URL. A user and
// password in the URL go out as basic authentication, and into no error. A nil
// config has the defaults. It does not connect.
func New(rawURL string, config *Config) (*Handler, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("httphandler: malformed URL") // the cause quotes it, password and all
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("httphandler: %s is not an http:// or https:// URL", u.Redacted())
	}
	c, err := config.complete()
	if err != nil {
		return nil, fmt.Errorf("httphandler: %w", err)
	}
	h := &Handler{url: rawURL, config: c, own: c.Transport == nil, reach: reach.New("endpoint "+u.Redacted(), c.Logger)}
	if h.own {
		c.Transport = newTransport(c.Concurrency)
	}
	_, h.traced = c.Transport.(*http.Transport)
	h.client.Store(newClient(c.Transport))
	return h, nil
}

// newClient returns a client that follows no redirect.
func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Gate returns a gate for the consumer ([consumer.Config].Gates) that holds back
// receiving while the endpoint can't be reached. It occasionally lets a message
// through as a probe.
//
// [consumer.Config]: https://pkg.go.dev/github.com/sluice-go/sluice/consumer#Config
func (h *Handler) Gate() handler.Gate { return h.reach }

// Close closes the connections that no request uses. The handler can still be
// used, and opens new ones. The error is always nil.
func (h *Handler) Close() error {
	h.client.Load().CloseIdleConnections()
	return nil
}

// Handle implements [handler.Handler].
func (h *Handler) Handle(ctx context.Context, m *handler.Message) error {
	if wait, ok := h.reach.Enter(); !ok {
		return handler.Postpone(wait, h.reach.Err())
	}
	defer h.reach.Left()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if h.config.Timeout > 0 {
		defer time.AfterFunc(h.config.Timeout, func() { cancel(errTimeout) }).Stop()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(m.Body))
	if err != nil {
		return err
	}
	for name, values := range h.config.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values[:len(values):len(values)]
	}
	h.dropped.Log(h.config.Logger, attribute.NotPassedOn, m.ID, setHeaders(r.Header, m))
	setTrace(ctx, r.Header, m)
	if h.config.Signer != nil {
		if err := h.config.Signer.Sign(r.Header, signedID(m), h.config.Now(), m.Body); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
	}
	// A request that finds the connection closed, on which another was answered
	// before, is made again by the transport. For a POST it does so only if this
	// header is there; empty, it is not sent.
	if r.Header["X-Idempotency-Key"] == nil {
		r.Header["X-Idempotency-Key"] = []string{}
	}
	a, err := h.post(ctx, r)
	if tooLarge(a, err) && cut(r.Header, m) {
		h.truncated(m, a.status, r.Header.Get(headerLeftOut))
		r.Body, _ = r.GetBody() // of bytes, which don't fail
		a, err = h.post(ctx, r)
	}
	if err != nil {
		return err
	}
	return h.verdict(a.status, a.retryAfter, a.said)
}

// An answer is what the verdict needs of an endpoint's answer.
type answer struct {
	status           int
	retryAfter, said string
}

// tooLarge reports whether the endpoint may have refused the size of the headers: 431,
// or what servers said before there was that status.
func tooLarge(a answer, err error) bool {
	if err != nil {
		// An HTTP/2 endpoint announces its limits when a connection begins, and closes
		// the connection of a request that arrives before.
		return strings.Contains(err.Error(), "request header list larger than peer's advertised limit") ||
			strings.Contains(err.Error(), "ErrCode=COMPRESSION_ERROR")
	}
	switch a.status {
	case http.StatusRequestHeaderFieldsTooLarge, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return true
	default:
		return false
	}
}

// post makes a request. The error is the verdict on a message that has no answer.
func (h *Handler) post(ctx context.Context, r *http.Request) (answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got atomic.Bool // a connection: from then on the endpoint may have the message
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got.Store(true) }}))
	client := h.client.Load()
	resp, err := client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			h.leave(client)
		}
		return answer{}, h.unanswered(ctx, err, h.traced && !got.Load())
	}
	h.reach.Reached()
	defer resp.Body.Close()
	defer time.AfterFunc(answerPatience, cancel).Stop()
	return answer{resp.StatusCode, resp.Header.Get("Retry-After"), readAnswer(resp.Body)}, nil
}

// leave leaves the connections of a client with which a request was not answered in
// time: they may be dead, and each would cost another request its time. Closing those
// that are idle is not enough: net/http ends the stream of an HTTP/2 request on a
// goroutine of its own, and until then its connection is in use, and offered to the
// next request. So the next requests get a new client. Those that are on their way
// keep theirs, whose connections close once they have been idle for a while. Of
// requests that leave one client, the first replaces it.
func (h *Handler) leave(c *http.Client) {
	if t, ok := c.Transport.(*http.Transport); ok && h.own {
		h.client.CompareAndSwap(c, newClient(t.Clone()))
	}
	c.CloseIdleConnections()
}

// truncated logs, once a minute, that attributes had no room.
func (h *Handler) truncated(m *handler.Message, status int, names string) {
	if missed, ok := h.long.Allow(time.Now(), time.Minute); ok {
		h.config.Logger.Warn("the endpoint refused a request with long attributes: sending it again without them",
			"message", m.ID, "status", status, "left_out", names, "messages_before", missed)
	}
}

// unanswered is the error of a request that had no answer. If the endpoint can't have
// had the message, that is not a failure of the message.
func (h *Handler) unanswered(ctx context.Context, err error, unreached bool) error {
	if ue, ok := invoke.As[*url.Error](err); ok {
		err = ue.Err // without the URL, which may have a password
	}
	cause := context.Cause(ctx)
	timedOut := invoke.Is(cause, errTimeout)
	if (cause == nil || timedOut) && (unreached || noConnection(err)) {
		if timedOut {
			err = fmt.Errorf("no connection within %v: %w", h.config.Timeout, err)
		}
		return handler.Postpone(h.reach.Failed(err), fmt.Errorf("POST: %w", err))
	}
	switch {
	case cause == nil:
		return fmt.Errorf("POST: %w", err)
	case timedOut:
		return fmt.Errorf("POST: no answer within %v: %w", h.config.Timeout, context.DeadlineExceeded)
	case invoke.Is(err, cause):
		return fmt.Errorf("POST: %w", err)
	default:
		return fmt.Errorf("POST: %w: %w", err, cause)
	}
}

// noConnection reports whether err is that no connection could be made.
func noConnection(err error) bool {
	if op, ok := invoke.As[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if _, ok := invoke.As[*net.DNSError](err); ok {
		return true
	}
	_, ok := invoke.As[*tls.CertificateVerificationError](err)
	return ok
}

// readAnswer returns the beginning of an answer's body on one line. Text that
// cannot be read is left out.
func readAnswer(body io.Reader) string {
	content, _ := io.ReadAll(io.LimitReader(body, answerRead))
	if len(content) > answerKept {
		content = append(content[:answerKept:answerKept], "..."...)
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(content), "")), " ")
}

// verdict reads the verdict out of an answer.
func (h *Handler) verdict(status int, retryAfter, said string) error {
	if status >= 200 && status <= 299 {
		return nil
	}
	err := fmt.Errorf("HTTP status %d %s", status, http.StatusText(status))
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if status >= 400 && status <= 499 {
			return handler.Reject(err)
		}
	}
	if d, ok := parseRetryAfter(retryAfter, h.config.Now()); ok {
		return handler.RetryAfter(min(max(d, soon), h.config.MaxRetryAfter), err)
	}
	return err
}
