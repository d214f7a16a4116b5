package direct_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

// A doer is an HTTP client.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// An HTTP client of the user's own repeats a request whose body it can get again: at the address of a
// redirect, on HTTP/2, or in a transport that tries again. Those of the SDK's requests it can't.
func TestRequestsAreNotRepeatedElsewhere(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		_, _ = io.WriteString(w, "{}")
	}))
	defer other.Close()
	var moved atomic.Bool
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if moved.Load() {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer first.Close()
	theirs, ours := clients(nil, func(o *awssqs.Options) {
		o.HTTPClient, o.BaseEndpoint, o.Retryer = &http.Client{}, &first.URL, aws.NopRetryer{}
	})
	_, err := operations[0].call(t.Context(), ours)
	require.NoError(t, err)
	moved.Store(true)
	for _, op := range operations {
		_, want := op.call(t.Context(), theirs)
		require.Error(t, want)
		_, err := op.call(t.Context(), ours)
		require.Error(t, err)
		require.Equal(t, kinds(want), kinds(err))
	}
	require.Zero(t, elsewhere.Load(), "requests with a session token at another host")
}

// A transport must not change a request, but many do, and with the SDK it has no effect on others.
func TestAChangedHeaderIsOneRequests(t *testing.T) {
	t.Parallel()
	s := new(server)
	_, ours := clients(s, func(o *awssqs.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			resp, err := s.Do(r)
			for _, values := range r.Header {
				for i := range values {
					values[i] += " changed"
				}
			}
			return resp, err
		})
	})
	for range 3 {
		_, err := operations[2].call(t.Context(), ours)
		require.NoError(t, err)
		heads, _ := s.requests()
		for name, values := range heads[0].Header {
			for _, v := range values {
				require.NotContains(t, v, " changed changed", name)
			}
		}
	}
}
