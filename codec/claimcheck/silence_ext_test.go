package claimcheck_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/s3blob"

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
)

// objects is as much of S3 as a claim check needs, without a network.
type objects struct {
	mu   sync.Mutex
	body map[string][]byte
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		o.body[r.URL.Path] = body
		return
	}
	_, _ = w.Write(o.body[r.URL.Path])
}

// TestADeadBucketIsFoundOutWithinAMinute: a bucket whose connection takes bytes and
// gives none ends the request, though the lease is kept for as long as the handler
// runs.
func TestADeadBucketIsFoundOutWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := swallow.NewPipes()
		web := &http.Server{Handler: &objects{body: map[string][]byte{}}, ReadHeaderTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- web.Serve(l) }()
		line := swallow.To(func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx) })
		wire := &http.Transport{DialContext: line.Dial}
		client := s3.New(s3.Options{
			BaseEndpoint: awssdk.String("http://bucket.test"), UsePathStyle: true, Region: "us-east-1", HTTPClient: &http.Client{Transport: wire},
			Credentials: credentials.NewStaticCredentialsProvider("any", "thing", ""), ResponseChecksumValidation: awssdk.ResponseChecksumValidationWhenRequired,
			RequestChecksumCalculation: awssdk.RequestChecksumCalculationWhenRequired,
		})
		blob, err := s3blob.OpenBucket(t.Context(), client, "bodies", nil)
		require.NoError(t, err)
		check, err := claimcheck.New(claimcheck.Bucket{Name: "bodies", Blob: blob}, &claimcheck.Config{Always: true})
		require.NoError(t, err)
		var got string
		h := check.Middleware(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
			got = string(m.Body)
			return nil
		}))
		stream := check.Stream(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
			r, err := claimcheck.Open(ctx, m)
			if err != nil {
				return err
			}
			defer func() { require.NoError(t, r.Close()) }()
			<-time.After(time.Hour) // a slow reader is not a silent bucket
			body, err := io.ReadAll(r)
			got = string(body)
			return err
		}))
		m := &handler.Message{Body: []byte(strings.Repeat("x", 1000))}
		require.NoError(t, check.Prepare(t.Context(), m))
		for name, f := range map[string]func() error{
			"get":  func() error { return h.Handle(t.Context(), m) },
			"open": func() error { return stream.Handle(t.Context(), m) },
			"put":  func() error { return check.Prepare(t.Context(), &handler.Message{Body: []byte("y")}) },
		} {
			got = ""
			require.NoError(t, f(), name)
			if name != "put" {
				require.Len(t, got, 1000, name)
			}
			line.Die()
			began := time.Now()
			err := f()
			require.ErrorContains(t, err, "the bucket does not answer within 30s", name)
			require.LessOrEqual(t, time.Since(began), time.Minute, name)
			t.Logf("%s ends after %v", name, time.Since(began))
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
			require.NoError(t, f(), name)
		}
		require.NoError(t, blob.Close())
		wire.CloseIdleConnections()
		line.Close()
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}
