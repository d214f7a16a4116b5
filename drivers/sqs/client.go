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

	"github.com/sluice-go/sluice/drivers/sqs/internal/direct"
)

const (
	// answerTime bounds a request that does not wait, and the time that a receive
	// takes beyond its wait. Without it a call can hang far beyond its long poll
	// if a connection is dropped silently.
	answerTime = 30 * time.Second

	// idleConnections is the number of idle connections kept to the endpoint: one
	// for each poller and each settlement under way. With the SDK's 10,
	// connections would be opened and closed all the time.
	idleConnections = 256

	// idleTimeout bounds the time for which an unused connection is kept. If a
	// device on the way has dropped it, the next request on it fails.
	idleTimeout = 30 * time.Second

	// pingAfter and pingTimeout detect a dead HTTP/2 connection, which some
	// emulators use: after pingAfter without a frame it is pinged, and closed if
	// no answer comes.
	pingAfter   = 15 * time.Second
	pingTimeout = 15 * time.Second

	// attempts is the number of times that the SDK tries a request other than a
	// receive: the second, immediate, try is for a connection that was closed
	// meanwhile. Further retries are up to the caller, who knows the lease.
	attempts = 2
)

// HTTPClient returns an HTTP client for many concurrent long polls, for programs
// that make their own SQS client. It has no timeout: the driver sets a deadline for
// each request.
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
		// A queue's endpoint does not redirect, and a request that is signed for
		// one host must not be repeated at another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A wire is a transport that sends a request's body from memory.
//
// The SDK closes the body as soon as it has the header of the response. net/http may
// still be checking whether the body is longer than declared; it then takes the
// error of the SDK's reader for a failure to send, and closes the connection with
// the response in it (smithy-go v1.28.9, safeWriteToReadCloser). A receive then loses
// the messages in the response for their whole visibility timeout. A body that
// net/http knows to be in memory also goes out in one packet with the header.
type wire struct{ next *http.Transport }

// inMemory is the length of the longest body that is copied, in bytes. A longer one
// is sent from its reader, without the method that net/http takes for a failure.
const inMemory = 64 << 10

// RoundTrip sends a copy of the request. If no response comes in time it closes the
// idle connections: they may be as dead as this one, and each would cost another
// request its time.
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

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (w *wire) CloseIdleConnections() { w.next.CloseIdleConnections() }

// sdkLog returns a logger for the SDK that writes to l; it discards if l is nil.
// The SDK's default prints.
func sdkLog(l *slog.Logger) logging.Logger {
	if l == nil {
		return logging.Nop{}
	}
	return logging.LoggerFunc(func(c logging.Classification, format string, args ...any) {
		l.DebugContext(context.Background(), "message from the AWS SDK", "classification", string(c), "text", fmt.Sprintf(format, args...))
	})
}

// signing returns c with the driver's signer for SQS in place of the SDK's own. Service
// options of the user come later, and may set another.
func signing(c aws.Config) aws.Config {
	ours := func(_ string, options any) {
		if o, ok := options.(*awssqs.Options); ok {
			direct.Sign(o)
		}
	}
	c.ServiceOptions = append([]func(string, any){ours}, c.ServiceOptions...)
	return c
}

// tune sets the options of the driver's own client. It returns a function that frees
// the client's connections.
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
