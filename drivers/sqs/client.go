package sqs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
)

const (
	// answerTime is how long an endpoint may take to answer a request that does
	// not wait, and how much longer than its wait a receive may take. Without a
	// bound of its own a call can hang far beyond its long poll, when a
	// connection is dropped in silence.
	answerTime = 30 * time.Second

	// idleConnections is how many connections to the endpoint are kept: one for
	// each poller and each settlement on its way. The SDK's 10 would have
	// connections made and thrown away all the time.
	idleConnections = 256

	// idleTimeout bounds how long a connection is kept that no request uses. One
	// that something between has forgotten costs the next request.
	idleTimeout = 30 * time.Second

	// pingAfter and pingTimeout find a dead HTTP/2 connection, which some servers
	// that stand for SQS speak: after so long without a frame it is pinged, and
	// closed if no answer comes.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second

	// attempts is how often the SDK tries a request that is not a receive: once
	// more, at once, for a connection that was closed under it. Everything
	// beyond that is the caller's, who knows the lease.
	attempts = 2
)

// HTTPClient returns an HTTP client that is fit for many long polls at a time,
// for those who make their own SQS client. It has no timeout: the driver sets a
// deadline for each request.
func HTTPClient() *http.Client { return tuned(awshttp.NewBuildableClient()) }

func tuned(b *awshttp.BuildableClient) *http.Client {
	b = b.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = max(t.MaxIdleConns, 2*idleConnections)
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, idleConnections)
		t.ResponseHeaderTimeout = 0
		t.IdleConnTimeout = idleTimeout
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	})
	return &http.Client{
		Transport: &wire{next: b.GetTransport()},
		// A queue's endpoint does not redirect; a request that is signed for one
		// host is not to be repeated at another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A wire is a transport that sends a request's body from memory.
//
// The SDK closes the body as soon as it has the head of the answer. net/http may
// still be looking whether the body has more than it should, and then takes what
// the SDK's reader says to that for a failure to send, and closes the connection
// with the answer in it (smithy-go v1.28.9, safeWriteToReadCloser). To a receive
// that costs the messages in the answer, for their whole visibility timeout. A
// body that net/http knows to be in memory also goes out in one packet with the
// header.
type wire struct{ next *http.Transport }

// inMemory is the longest body that is copied. A longer one is sent as it is,
// without what makes net/http take its end for a failure.
const inMemory = 64 << 10

// RoundTrip sends a copy of the request. If no answer comes in time, the
// connections that no request uses are given up: whatever took this one's bytes may
// have forgotten them as well, and each would cost another request its time.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	out, err := w.send(r)
	if err != nil && errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		w.next.CloseIdleConnections()
	}
	return out, err
}

func (w *wire) send(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength <= 0 {
		return w.next.RoundTrip(r)
	}
	c := &struct {
		http.Request
		body bytes.Reader
	}{Request: *r}
	if r.ContentLength > inMemory {
		c.Body = struct{ io.ReadCloser }{r.Body}
		return w.next.RoundTrip(&c.Request)
	}
	b := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, b)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	c.body.Reset(b)
	c.Body = io.NopCloser(&c.body)
	return w.next.RoundTrip(&c.Request)
}

// CloseIdleConnections is what http.Client looks for.
func (w *wire) CloseIdleConnections() { w.next.CloseIdleConnections() }

// sdkLog gives what the SDK has to say to a logger, which may be nil. The SDK's
// own would print it.
func sdkLog(l *slog.Logger) logging.Logger {
	if l == nil {
		return logging.Nop{}
	}
	return logging.LoggerFunc(func(c logging.Classification, format string, args ...any) {
		l.DebugContext(context.Background(), "said by the AWS SDK", "classification", string(c), "text", fmt.Sprintf(format, args...))
	})
}

// tune sets what this driver needs of a client of its own. It returns how to
// free the client's connections.
func tune(o *awssqs.Options, l *slog.Logger) (release func()) {
	o.Logger = sdkLog(l)
	o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts = attempts
		so.MaxBackoff = 100 * time.Millisecond
		so.RateLimiter = ratelimit.None
	})
	if o.HTTPClient != nil {
		b, ok := o.HTTPClient.(*awshttp.BuildableClient)
		if !ok {
			return func() {} // the user's own
		}
		c := tuned(b)
		o.HTTPClient = c
		return c.CloseIdleConnections
	}
	c := HTTPClient()
	o.HTTPClient = c
	return c.CloseIdleConnections
}

// once has the SDK try a request once. A receive whose answer was lost must not
// be repeated behind the caller's back: each try strands messages.
func once(o *awssqs.Options) { o.Retryer = aws.NopRetryer{} }
