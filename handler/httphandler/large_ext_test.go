package httphandler_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
)

// Servers bound the headers of a request. A message with long attributes gets to its
// endpoint without them, and the endpoint can see that.
func TestLongAttributesDoNotKeepAMessageFromItsEndpoint(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for _, tc := range []struct {
		name       string
		limit      int // of the server
		http2      bool
		refusal    int // 0 leaves it to the server
		attributes map[string]string
		want       int // requests that the endpoint's own code sees
		leftOut    string
		action     handler.Action
	}{
		{"short ones", 0, false, 0, map[string]string{"tenant": "acme"}, 1, "", handler.ActionAck},
		{"a long one that the server takes", 0, false, 0, map[string]string{"tenant": "acme", "claims": long}, 1, "", handler.ActionAck},
		{"431", 8 << 10, false, 0, map[string]string{"tenant": "acme", "claims": long}, 1, "claims", handler.ActionAck},
		{"many", 8 << 10, false, 0, map[string]string{"tenant": "acme", "a.1": long[:3000], "a.2": long[:2900], "a.3": long[:2000], "a.4": long[:6000]}, 1, "a-2,a-1,a-4", handler.ActionAck},
		{"over HTTP/2", 8 << 10, true, 0, map[string]string{"tenant": "acme", "claims": long}, 1, "claims", handler.ActionAck},
		{"400 by a server", 0, false, 400, map[string]string{"tenant": "acme", "claims": long}, 2, "claims", handler.ActionAck},
		{"413 by a server", 0, false, 413, map[string]string{"tenant": "acme", "claims": long}, 2, "claims", handler.ActionAck},
		{"400 by the endpoint", 0, false, -400, map[string]string{"tenant": "acme", "claims": long}, 2, "claims", handler.ActionDeadLetter},
		{"400 to short ones", 0, false, -400, map[string]string{"tenant": "acme"}, 1, "", handler.ActionDeadLetter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []http.Header
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, r.Header)
				switch {
				case tc.refusal < 0:
					w.WriteHeader(-tc.refusal)
				case tc.refusal > 0 && r.Header.Get("Sluice-Attr-Claims") != "":
					w.WriteHeader(tc.refusal)
				}
			}))
			server.Config.MaxHeaderBytes = tc.limit
			server.EnableHTTP2 = tc.http2
			config := &httphandler.Config{}
			var logged bytes.Buffer
			config.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			if tc.http2 {
				server.StartTLS()
				config.Transport = server.Client().Transport
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			h := newHandler(t, server.URL, config)
			err := h.Handle(t.Context(), &handler.Message{ID: "1", Body: []byte("body"), Attributes: tc.attributes})
			require.Equal(t, tc.action.String(), handler.VerdictOf(err).Action.String(), "%v", err)
			mu.Lock()
			defer mu.Unlock()
			require.Len(t, seen, tc.want)
			last := seen[len(seen)-1]
			require.Equal(t, "acme", last.Get("Sluice-Attr-Tenant"))
			require.Equal(t, "1", last.Get("Sluice-Message-Id"))
			require.ElementsMatch(t, strings.Split(tc.leftOut, ","), strings.Split(last.Get("Sluice-Left-Out"), ","))
			require.Equal(t, tc.leftOut != "", strings.Contains(logged.String(), "without them"), logged.String())
		})
	}
}

func TestWithoutALogger(t *testing.T) {
	h := newHandler(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Sluice-Attr-A") != "" {
			w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		}
	}), nil)
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "1", Attributes: map[string]string{"a": strings.Repeat("x", 5000), "sns_topic_arn": "forged"}}))
}
