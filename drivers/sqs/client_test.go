package sqs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/internal/direct"
)

// closing is a body as the SDK's: once it is closed it takes a look at what it
// has left for a failure.
type closing struct {
	*strings.Reader
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

func (c *closing) WriteTo(w io.Writer) (int64, error) {
	if c.closed.Load() {
		return 0, io.EOF
	}
	return c.Reader.WriteTo(w)
}

// The connection must outlive the SDK closing a body that net/http still looks
// at: a server that answers as soon as it has what it needs, and a sender that is
// slow to find out, which is a matter of luck. So the request is looked at.
func TestBodyThatTheSDKClosesIsStillGood(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	c := HTTPClient()
	defer c.CloseIdleConnections()
	var dials atomic.Int32
	tr := c.Transport.(*wire).next
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, addr)
	}
	for _, size := range []int{1, inMemory, inMemory + 1, 1 << 20} {
		body := &closing{Reader: strings.NewReader(strings.Repeat("x", size))}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
		require.NoError(t, err)
		req.ContentLength = int64(size)
		res, err := c.Do(req)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Len(t, b, size)
	}
	require.EqualValues(t, 1, dials.Load(), "a connection was given up")
}

// The body that net/http gets does not end in a failure, whatever its size.
func TestBodyHasNoEndThatIsAFailure(t *testing.T) {
	for _, size := range []int{1, inMemory + 1} {
		var sent io.ReadCloser
		w := &wire{next: &http.Transport{}}
		w.next.RegisterProtocol("stub", roundTripper(func(r *http.Request) (*http.Response, error) {
			sent = r.Body
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
		}))
		body := &closing{Reader: strings.NewReader(strings.Repeat("x", size))}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "stub://host", body)
		require.NoError(t, err)
		req.ContentLength = int64(size)
		res, err := w.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Same(t, body, req.Body, "the caller's request was changed")
		n, err := io.Copy(io.Discard, io.LimitReader(sent, int64(size)))
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, body.Close())
		n, err = io.Copy(io.Discard, sent) // as net/http does after the body's length
		require.NoError(t, err)
		require.Zero(t, n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSDKSpeaksToTheLogger(t *testing.T) {
	var o awssqs.Options
	tune(&o, nil)()
	o.Logger.Logf(logging.Warn, "to no one")

	var log bytes.Buffer
	tune(&o, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))()
	o.Logger.Logf(logging.Warn, "about %d", 7)
	require.Contains(t, log.String(), `text="about 7"`)
	require.Contains(t, log.String(), "level=DEBUG")

	// Those that are asked for credentials speak to it, too.
	cfg, err := new(Opener).load(t.Context(), &target{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	require.NoError(t, err)
	cfg.Logger.Logf(logging.Warn, "about %d", 8)
	require.Contains(t, log.String(), `text="about 8"`)
}

func TestOwnHTTPClientIsLeftAlone(t *testing.T) {
	own := &http.Client{}
	o := awssqs.Options{HTTPClient: own}
	tune(&o, nil)()
	require.Same(t, own, o.HTTPClient)
}

// The opener's clients sign with the driver's signer, unless the configuration names
// another.
func TestSigning(t *testing.T) {
	var c aws.Config
	var ours awssqs.Options
	direct.Sign(&ours)
	require.IsType(t, ours.HTTPSignerV4, awssqs.NewFromConfig(signing(c)).Options().HTTPSignerV4)
	theirs := v4.NewSigner()
	c.ServiceOptions = append(c.ServiceOptions, func(_ string, options any) {
		if o, ok := options.(*awssqs.Options); ok {
			o.HTTPSignerV4 = theirs
		}
	})
	require.Same(t, theirs, awssqs.NewFromConfig(signing(c)).Options().HTTPSignerV4)
	require.Len(t, c.ServiceOptions, 1)
}
