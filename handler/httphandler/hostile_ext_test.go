package httphandler_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
)

type ownCause struct{}

func (ownCause) Error() string   { return "its own cause" }
func (e ownCause) Unwrap() error { return e }

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestAnErrorOfATransportThatUnwrapsToItself(t *testing.T) {
	for _, ended := range []bool{false, true} {
		h := newHandler(t, "http://localhost", &httphandler.Config{Transport: failing{ownCause{}}})
		ctx, cancel := context.WithCancelCause(t.Context())
		if ended {
			cancel(ownCause{})
		}
		got := make(chan error, 1)
		go func() { got <- h.Handle(ctx, &handler.Message{Body: []byte("x")}) }()
		select {
		case err := <-got:
			require.Equal(t, handler.ActionRetry, handler.VerdictOf(err).Action)
		case <-time.After(30 * time.Second):
			t.Fatal("Handle walks the error for ever")
		}
		cancel(nil)
	}
}
