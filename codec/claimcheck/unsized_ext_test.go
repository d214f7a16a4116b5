package claimcheck_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/sluice-go/sluice/codec/claimcheck"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// A store, or a proxy before it, may answer in chunks, without the size of the object.
func TestABodyWithoutASizeIsWhole(t *testing.T) {
	testserver.Credentials(t)
	var stored []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			stored, _ = io.ReadAll(r.Body)
			return
		}
		_, _ = w.Write(stored[:1])
		w.(http.Flusher).Flush() // nothing is known of the rest
		_, _ = w.Write(stored[1:])
	}))
	defer s.Close()
	bucket, err := blob.OpenBucket(t.Context(), "s3://bodies?region=us-east-1&use_path_style=true&endpoint="+s.URL)
	require.NoError(t, err)
	defer func() { require.NoError(t, bucket.Close()) }()
	for name, c := range map[string]struct {
		limit int64
		fault error
	}{"whole": {0, nil}, "at the limit": {1000, nil}, "above the limit": {999, claimcheck.ErrTooLarge}} {
		t.Run(name, func(t *testing.T) {
			check := newCheck(t, claimcheck.Bucket{Name: "bodies", Blob: bucket}, &claimcheck.Config{Threshold: 100, MaxBytes: c.limit})
			m := &handler.Message{Body: body(1000)}
			want := m.Body
			require.NoError(t, check.Prepare(t.Context(), m))
			var got []byte
			err := check.Middleware(handler.HandlerFunc(func(_ context.Context, m *handler.Message) error {
				got = m.Body
				return nil
			})).Handle(t.Context(), m)
			if c.fault != nil {
				require.ErrorIs(t, err, c.fault)
				return
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}
